package main

import "syscall"

// attributes has the kernel kill a child whose parent dies.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
