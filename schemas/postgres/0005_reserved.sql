-- Reserved for another change: nothing is done here.
SELECT;
