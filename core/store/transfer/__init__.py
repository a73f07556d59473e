"""Moving a studio's resources in and out: the guide's export format, and the dict form of the original's project defaults.

    {"models": {"schema": "CREATE TABLE …", "data": [{"id": …}, …]}, …}        what exports write
    {"models": [{"id": …}, …], …}                                             the dict form

Schema texts are written for the original's sake and never read: a file's content is mapped to known tables and columns.
"""
