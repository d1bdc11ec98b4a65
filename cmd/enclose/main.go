// Command enclose confines the process it runs in and becomes the service that
// gilgul orders. See init/confine/enclosure.
package main

import (
	"os"

	"runa/init/confine/enclosure"
)

func main() { os.Exit(enclosure.Main()) }
