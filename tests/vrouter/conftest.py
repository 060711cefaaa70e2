"""Its place lets the tests in the folders below find the modules of this one."""
