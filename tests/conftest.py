"""Its being here puts this folder on the path, for `two_processes`."""
