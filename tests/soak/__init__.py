"""Days of the ten tables in simulated time, with every kind of trouble: is a row lost, late, or does anything grow?"""
