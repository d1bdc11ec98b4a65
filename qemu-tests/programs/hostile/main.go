// Command hostile is a service that was taken over by somebody: it tries what no
// service may, and says of each attempt how it went. What it tries on the kernel
// is in package init/confine/hostile; what it tries on the bus is here. It must
// be given to a machine that nobody needs.
//
//	hostile try     every attempt once, a line for each; status 1 if one succeeded
//	hostile crowd   makes processes until it may have no more, and stays
//	hostile fill    fills memory without end
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"runa/init/confine/hostile"
	"runa/services/splinter"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("say try, crowd or fill")

// enough is more memory than any service of a test may have.
const enough = 1 << 30

func run(args []string, out io.Writer) error {
	if len(args) != 1 {
		return errUsage
	}
	switch args[0] {
	case "try":
		return try(out)
	case "crowd":
		return crowd(out)
	case "fill":
		hostile.FillMemory(enough)
		return fmt.Errorf("it has filled %d bytes", enough)
	case hostile.Nothing: // a child that only takes up room
		hostile.Wait()
	}
	return fmt.Errorf("%q: %w", args[0], errUsage)
}

// try makes every attempt but that to make processes without end, which gilgul
// answers by ending the service: crowd is that.
func try(out io.Writer) error {
	bus, err := splinter.Open(splinter.DefaultPath)
	if err != nil {
		return err
	}
	defer bus.Close()
	attempts := onTheBus(bus)
	for _, a := range hostile.Attempts() {
		if a.Rule != hostile.RuleLimit {
			attempts = append(attempts, attempt{a.Name, a.Do})
		}
	}
	return judge(out, attempts)
}

// judge makes the attempts and writes a line for each.
func judge(out io.Writer, attempts []attempt) error {
	breaches := 0
	for _, a := range attempts {
		err := a.do()
		switch {
		case errors.Is(err, errUntried):
			return fmt.Errorf("%s: %w", a.name, err)
		case err == nil:
			breaches++
			fmt.Fprintf(out, "BREACH %s\n", a.name)
		default:
			fmt.Fprintf(out, "refused %s: %v\n", a.name, err)
		}
	}
	fmt.Fprintf(out, "hostile: %d attempts, %d breaches\n", len(attempts), breaches)
	if breaches > 0 {
		return fmt.Errorf("%d attempts succeeded", breaches)
	}
	return nil
}

// crowd makes processes until it is refused one, and keeps them.
func crowd(out io.Writer) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	for made := 0; ; made++ {
		if err := exec.Command(program, hostile.Nothing).Start(); err != nil {
			fmt.Fprintf(out, "refused process %d: %v\n", made+1, err)
			hostile.Wait()
		}
	}
}
