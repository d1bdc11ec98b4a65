package netguard

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"runa/init/contain"
)

// Rtnetlink is the kernel this process runs on (rtnetlink(7)), in the network
// namespace of its first thread.
type Rtnetlink struct{}

// Interfaces asks for every interface. A kernel without networking has none.
func (Rtnetlink) Interfaces() ([]Interface, error) {
	links, err := netlink.LinkList()
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Interface
	for _, link := range links {
		list = append(list, describe(link))
	}
	return list, nil
}

// Up brings the interface up.
func (Rtnetlink) Up(i Interface) error { return netlink.LinkSetUp(byIndex(i)) }

// Down takes the interface down. One that is gone is down.
func (Rtnetlink) Down(i Interface) error {
	err := netlink.LinkSetDown(byIndex(i))
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// byIndex names an interface by its number alone, for its name may have changed.
func byIndex(i Interface) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: i.Index}}
}

// Watch subscribes to RTNLGRP_LINK.
func (Rtnetlink) Watch(ctx context.Context, begun func(), change func(Interface)) error {
	updates := make(chan netlink.LinkUpdate, 64)
	done := make(chan struct{})
	stop := sync.OnceFunc(func() { close(done) })
	// The library's goroutine may be about to send when nobody listens any more.
	defer contain.Go("end the watch over the network", func() {
		for range updates {
		}
	})
	defer stop()
	err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{
		ErrorCallback: func(error) { stop() }, // ENOBUFS: start over
	})
	if err != nil {
		close(updates)
		if errors.Is(err, unix.EAFNOSUPPORT) {
			begun()
			<-ctx.Done()
			err = nil
		}
		return err
	}
	begun()
	for {
		select {
		case update, ok := <-updates:
			if !ok {
				return nil
			}
			i := describe(update.Link)
			i.Gone = update.Header.Type == unix.RTM_DELLINK
			change(i)
		case <-done:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

func describe(link netlink.Link) Interface {
	a := link.Attrs()
	kind := link.Type()
	if a.Flags&net.FlagLoopback != 0 {
		kind = loopback
	}
	return Interface{Index: a.Index, Name: a.Name, Kind: kind, Up: a.Flags&net.FlagUp != 0}
}

// classNet has a folder for each interface (sysfs, ABI/testing/sysfs-class-net).
const classNet = "/sys/class/net"

// Describe reads what sysfs tells of the interface.
func (Rtnetlink) Describe(i Interface) Hardware { return hardwareIn(filepath.Join(classNet, i.Name)) }

func hardwareIn(folder string) Hardware {
	var h Hardware
	if driver, err := os.Readlink(filepath.Join(folder, "device", "driver")); err == nil {
		h.Driver = filepath.Base(driver)
	}
	h.Megabits, _ = strconv.Atoi(line(filepath.Join(folder, "speed"))) // -1, or an error while it is down
	h.Megabits = max(h.Megabits, 0)
	h.Address = line(filepath.Join(folder, "address"))
	for _, sign := range []string{"wireless", "phy80211"} {
		if _, err := os.Lstat(filepath.Join(folder, sign)); err == nil {
			h.Wireless = true
		}
	}
	return h
}

// line is the content of a small file, "" if it can't be read.
func line(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
