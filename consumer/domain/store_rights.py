"""Which S3 action an operation takes that the store refused."""

from __future__ import annotations

import re

# As the AWS SDK words it: AWS Error ACCESS_DENIED during PutObject operation.
_OPERATION = re.compile(r"during (\w+) operation")
_ACTIONS = {
    "HeadObject": "s3:GetObject",
    "GetObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
}


def remedy(text: str, bucket: str, prefix: str) -> str:
    """Return what to do about a refusal: keys first, for the store need not tell a wrong key from a missing right.

    ``prefix`` is the part of the bucket that is asked for, without slashes around it.
    """
    found = _OPERATION.search(text)
    action = _ACTIONS.get(found[1]) if found is not None else None
    wanted = (
        "put, get and delete objects and list the bucket"
        if action is None
        else f"{action} on arn:aws:s3:::{bucket}"
        if action == "s3:ListBucket"
        else f"{action} on arn:aws:s3:::{bucket}/{prefix}/*"
    )
    return f"check store.access_key and store.secret_key; if they are right, allow them {wanted}"
