package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// ICMP's types of messages (RFC 792).
const (
	echoRequest = 8
	echoReply   = 0
)

// ping sends one echo request and waits for its answer until ctx ends or ten
// seconds are over.
func ping(ctx context.Context, address string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	// Unlike Read of a dialled connection, ReadFrom leaves out the IP header.
	connection, err := (&net.ListenConfig{}).ListenPacket(ctx, "ip4:icmp", "0.0.0.0")
	if err != nil {
		return err
	}
	defer connection.Close()
	to, err := net.ResolveIPAddr("ip4", address)
	if err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	if err := connection.SetDeadline(deadline); err != nil {
		return err
	}
	began := time.Now()
	if _, err := connection.WriteTo(echo(1, 1), to); err != nil {
		return err
	}
	answer := make([]byte, 1500)
	for {
		n, from, err := connection.ReadFrom(answer)
		if err != nil {
			return fmt.Errorf("no answer from %s: %w", address, err)
		}
		if n >= 8 && from.String() == to.String() && answer[0] == echoReply && binary.BigEndian.Uint16(answer[4:]) == 1 {
			_, err := fmt.Fprintf(out, "%s answered after %.2f ms\n", address, time.Since(began).Seconds()*1000)
			return err
		}
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
}

// echo makes an echo request with its checksum.
func echo(id, sequence uint16) []byte {
	message := make([]byte, 16)
	message[0] = echoRequest
	binary.BigEndian.PutUint16(message[4:], id)
	binary.BigEndian.PutUint16(message[6:], sequence)
	copy(message[8:], "a frame!")
	binary.BigEndian.PutUint16(message[2:], checksum(message))
	return message
}

// checksum is that of RFC 1071: the complement of the sum in ones' complement.
func checksum(message []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(message); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(message[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
