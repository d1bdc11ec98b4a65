package splinfer

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"runa/services/hint"
	"runa/services/splinter"
)

// ListenerName is the name clients dial on the bus.
const ListenerName = "splinfer"

// ModelKey is the bus key that holds the default model's name once splinfer is
// ready; it is empty if that model can't be used.
const ModelKey = "service/splinfer/model"

// Run serves on the bus at path until ctx ends. When the default model is
// loaded, or known to be unusable, it sets ModelKey and calls notify.
func Run(ctx context.Context, path string, o Options, notify func() error) error {
	bus, err := splinter.Open(path)
	if err != nil {
		return err
	}
	defer bus.Close()
	service, err := New(o)
	if err != nil {
		return err
	}
	listener, err := bus.Listen(ListenerName)
	if err != nil {
		return err
	}
	defer listener.Close()
	accept := func(ctx context.Context) (connection, error) {
		conn, err := listener.Accept(ctx)
		if err != nil {
			return nil, err // not conn: a nil *Conn is no nil connection
		}
		return conn, nil
	}
	return service.Serve(ctx, accept, func(model string) error {
		if err := bus.Set(ModelKey, []byte(model)); err != nil {
			return err
		}
		return notify()
	})
}

// Notifier returns a function that tells the service manager that this process
// is ready, by writing "READY=1" to the descriptor whose number is given (the
// value of RUNA_NOTIFY_FD). With an empty number nobody waits to be told.
func Notifier(number string) (func() error, error) {
	if number == "" {
		return func() error { return nil }, nil
	}
	descriptor, err := strconv.ParseUint(number, 10, 16)
	if err != nil || descriptor < 3 {
		err := fmt.Errorf("read RUNA_NOTIFY_FD: %q is no descriptor number above 2", number)
		return nil, hint.New(err, "leave it unset when no service manager waits")
	}
	file := os.NewFile(uintptr(descriptor), "RUNA_NOTIFY_FD")
	return func() error {
		defer file.Close()
		if _, err := file.WriteString("READY=1\n"); err != nil {
			return fmt.Errorf("notify the service manager: %w", err)
		}
		return nil
	}, nil
}
