"""Work on pictures spread over processes or a Ray cluster, with the results of a single one."""
