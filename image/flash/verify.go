package flash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"runa/image/disk"
	"runa/image/inventory"
	"runa/image/progress"
	"runa/services/hint"
)

// Verify reads the disk or image at path back and prints to out what of it is as
// built. Its error says what isn't, and where. With the path of an inventory, what is
// there must be that build; otherwise it is compared with the inventory it carries.
func Verify(ctx context.Context, out io.Writer, path, inventoryPath string, print *progress.Printer) error {
	var wanted *inventory.Inventory
	if inventoryPath != "" {
		data, err := os.ReadFile(inventoryPath)
		if err != nil {
			return err
		}
		parsed, err := inventory.Parse(data)
		if err != nil {
			return fmt.Errorf("%s: %w", inventoryPath, err)
		}
		wanted = &parsed
	}
	s, err := open(path)
	if err != nil {
		return err
	}
	defer s.close()
	found, err := check(ctx, s, wanted, print)
	if errors.Is(err, ErrUnusable) {
		return interrupted(path)
	}
	if err != nil {
		return fmt.Errorf("verify %s: %w", path, err)
	}
	for _, line := range found.good {
		fmt.Fprintln(out, line)
	}
	if len(found.differences) > 0 {
		return hint.New(fmt.Errorf("%s: %w", path, errors.Join(found.differences...)), "%s", found.advice())
	}
	if found.filesOnly {
		fmt.Fprintf(out, "%s: the boot files are what was built; its other bytes can't be compared, as it carries no record of them\n", path)
		return nil
	}
	fmt.Fprintf(out, "%s is what was built\n", path)
	return nil
}

// findings are what a check found. An error beside them means it couldn't be made.
type findings struct {
	good        []string
	differences []error
	boots       bool // something differs that a machine starts from
	filesOnly   bool // there is no record to compare the rest with
}

func (f *findings) bad(err error) { f.differences = append(f.differences, err) }

func (f *findings) advice() string {
	if f.boots {
		return "don't boot it: flash it again; if the image itself differs, build it again"
	}
	return "the boot files are whole; another system may have written beside them (Windows does when a stick is put in); to be sure, flash it again"
}

// check compares a disk or image with its record and with an inventory, its own
// if wanted is nil.
func check(ctx context.Context, s source, wanted *inventory.Inventory, print *progress.Printer) (findings, error) {
	var found findings
	rec, recordErr := readRecord(s, s.size)
	layout, err := disk.Read(s, s.size)
	if recordErr == nil && (rec.State == begun || errors.Is(err, disk.ErrNoTable)) {
		return found, ErrUnusable
	}
	if err == nil {
		layout, err = readLayout(s, s.size)
	}
	if err != nil {
		return found, hint.New(err, "is it an image of Runa, or a stick that one was flashed to?")
	}
	if err := checkBackup(s, s.size); err != nil {
		found.bad(err)
	} else {
		found.good = append(found.good, "partition table: both copies are whole")
	}
	if err := checkRecord(ctx, &found, s, rec, recordErr, layout, print); err != nil {
		return found, err
	}
	if err := checkFiles(ctx, &found, s, layout, wanted); err != nil {
		return found, err
	}
	data, _ := layout.Part(disk.DataName)
	found.good = append(found.good, fmt.Sprintf("partition %s: %s, there (its content changes in use and isn't compared)", disk.DataName, amount(data.Size)))
	return found, nil
}

// checkRecord compares the boot code and the partitions byte for byte.
func checkRecord(ctx context.Context, found *findings, s source, rec record, recordErr error, layout disk.Layout, print *progress.Printer) error {
	switch {
	case errors.Is(recordErr, errNoRecord):
		found.filesOnly = true
		return nil
	case recordErr != nil:
		found.bad(fmt.Errorf("the record at byte %d is %w: %w", recordAt, ErrDiffers, recordErr))
		return nil
	}
	var total, done int64
	for _, p := range rec.Parts {
		if len(p.Hashes) > 0 {
			total += p.Size
		}
	}
	task := print.Task("checking")
	differences, err := rec.compare(ctx, s, layout, func(n int64) {
		done += n
		task.Set(done, total, "bytes")
	})
	for _, one := range differences {
		var changed changedPart
		if !errors.As(one, &changed) || changed.name != disk.BootName { // of that, the files are looked at below
			found.boots = true
		}
		found.bad(one)
	}
	if err != nil {
		return errors.Join(append(found.differences, err)...)
	}
	task.Done()
	if len(differences) == 0 {
		found.good = append(found.good, fmt.Sprintf("boot code and system partitions: %s, every byte as built", amount(total)))
	}
	return nil
}
