// Program echo-init is the smallest guest that the driver can be tried on: as
// /init of an initramfs it offers a console that understands echo, fail, send
// (a datagram into the network) and poweroff, with commands separated by ";" and
// the status of the last in $?.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
)

func main() {
	fmt.Println("\x1b[1mecho-init\x1b[0m: press Enter")
	lines := bufio.NewScanner(os.Stdin)
	status := 0
	for lines.Scan() {
		for command := range strings.SplitSeq(lines.Text(), ";") {
			command = strings.ReplaceAll(command, "$?", strconv.Itoa(status))
			status = execute(strings.Fields(strings.ReplaceAll(command, `"`, "")))
		}
		fmt.Print("$ ")
	}
}

func execute(words []string) int {
	if len(words) == 0 {
		return 0
	}
	switch words[0] {
	case "echo":
		fmt.Println(strings.Join(words[1:], " "))
		return 0
	case "fail":
		return 3
	case "send":
		if err := send(); err != nil {
			fmt.Println(err)
			return 1
		}
		return 0
	case "poweroff":
		_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
	}
	return 127
}

// send brings the card up and sends one datagram to everybody.
func send() error {
	card, err := netlink.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("find the card: %w", err)
	}
	address, err := netlink.ParseAddr("10.0.2.15/24")
	if err == nil {
		err = errors.Join(netlink.AddrAdd(card, address), netlink.LinkSetUp(card))
	}
	if err != nil {
		return fmt.Errorf("bring the card up: %w", err)
	}
	connection, err := net.Dial("udp", "10.0.2.2:9")
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = connection.Write([]byte("a frame"))
	return err
}
