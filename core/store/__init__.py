"""The store: the guide's seven tables and ours, its unit of work, the event log and the inbox."""
