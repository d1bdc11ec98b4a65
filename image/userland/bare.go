//go:build userland

package userland

import (
	// A bare u-root system: its init and its shell, nothing else. The
	// benchmarks measure gilgul's boot against it.
	_ "github.com/u-root/u-root/cmds/core/gosh"
	_ "github.com/u-root/u-root/cmds/core/init"
)
