package command

import (
	"context"
	"fmt"
	"io"
	"net"

	"runa/services/rmp"
	"runa/services/splinter"
)

const peerName = "bench"

type peerCommand struct {
	Socket string `arg:""`
}

// Run answers every frame with itself, on the bus and on the socket, until its
// standard input ends.
func (c *peerCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error {
		ctx, cancel := context.WithCancel(e.ctx)
		defer cancel()
		names, err := b.Listen(peerName)
		if err != nil {
			return err
		}
		socket, err := net.Listen("unix", c.Socket)
		if err != nil {
			return err
		}
		defer socket.Close()
		go echoBus(ctx, names)
		go echoSocket(socket)
		fmt.Fprint(e.Out, "\n")
		_, err = io.Copy(io.Discard, e.In)
		return err
	})
}

func echoBus(ctx context.Context, names *splinter.Listener) {
	for {
		conn, err := names.Accept(ctx)
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			for {
				f, err := conn.Receive(ctx)
				if err != nil || conn.Send(ctx, f) != nil {
					return
				}
			}
		}()
	}
}

func echoSocket(socket net.Listener) {
	for {
		stream, err := socket.Accept()
		if err != nil {
			return
		}
		go func() {
			defer stream.Close()
			reader := rmp.NewReader(stream)
			for {
				f, err := reader.ReadFrame()
				if err != nil || rmp.WriteFrame(stream, f) != nil {
					return
				}
			}
		}()
	}
}
