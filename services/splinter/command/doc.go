// Package command is the splinter program: its subcommands, what they print and
// its bench. It owns no bus logic; what it does anybody can do through package splinter.
package command
