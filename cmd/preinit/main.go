// Command preinit is what the kernel starts first, from the archive inside of the
// kernel itself: see package preinit.
package main

import "runa/init/preinit"

func main() { preinit.Run() }
