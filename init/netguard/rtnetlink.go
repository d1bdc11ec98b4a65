package netguard

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
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

// Down takes the interface down. One that is gone is down.
func (Rtnetlink) Down(i Interface) error {
	err := netlink.LinkSetDown(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: i.Index}})
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// Watch subscribes to RTNLGRP_LINK.
func (Rtnetlink) Watch(ctx context.Context) (<-chan Interface, error) {
	updates := make(chan netlink.LinkUpdate, 64)
	done := make(chan struct{})
	stop := sync.OnceFunc(func() { close(done) })
	err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{
		ErrorCallback: func(error) { stop() }, // ENOBUFS: start over
	})
	if errors.Is(err, unix.EAFNOSUPPORT) {
		err = nil
		close(updates)
		<-ctx.Done()
	}
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, stop)
	changes := make(chan Interface)
	go func() {
		defer close(changes)
		for {
			select {
			case update, ok := <-updates:
				if !ok {
					stop()
					return
				}
				changes <- describe(update.Link)
			case <-done:
				go drain(updates)
				return
			}
		}
	}()
	return changes, nil
}

// drain lets the library's goroutine end, which may be about to send.
func drain(updates <-chan netlink.LinkUpdate) {
	for range updates {
	}
}

func describe(link netlink.Link) Interface {
	a := link.Attrs()
	kind := link.Type()
	if a.Flags&net.FlagLoopback != 0 {
		kind = "loopback"
	}
	return Interface{Index: a.Index, Name: a.Name, Kind: kind, Up: a.Flags&net.FlagUp != 0}
}
