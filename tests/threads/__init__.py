"""Objects used by several threads at once; a crash of the interpreter is a failure, so each case has a process."""
