// Command small is a small service: it says that it is ready and waits.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	notify := os.NewFile(3, "notify")
	if _, err := notify.WriteString("READY=1\n"); err != nil {
		os.Exit(1)
	}
	<-stop
}
