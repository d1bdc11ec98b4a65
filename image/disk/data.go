package disk

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"runa/services/hint"
)

// features are ext4's, named one by one so that no mke2fs.conf decides them; any
// kernel from 4.0 on can mount the result.
const features = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg," +
	"sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum"

// dataPath is what may name a file in the data partition: debugfs reads its
// commands as words, so no blank or quote may be in one.
var dataPath = regexp.MustCompile(`^(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)+$`)

// dataSize checks what goes into the data partition and returns the bytes a
// partition needs to hold the files, in whole mebibytes.
func dataSize(spec Spec) (int64, error) {
	var total int64
	seen := map[string]bool{}
	for _, folder := range spec.Folders {
		if !dataPath.MatchString(folder.Path) {
			return 0, fmt.Errorf("data folder %q: must be an absolute path of letters, digits and . _ + -, no name starting with a dot", folder.Path)
		}
		if seen[folder.Path] {
			return 0, fmt.Errorf("data folder %s: given twice", folder.Path)
		}
		seen[folder.Path] = true
	}
	for _, file := range spec.Data {
		if !dataPath.MatchString(file.Path) {
			return 0, fmt.Errorf("data file %q: must be an absolute path of letters, digits and . _ + -, no name starting with a dot", file.Path)
		}
		if seen[file.Path] {
			return 0, fmt.Errorf("data file %s: given twice", file.Path)
		}
		seen[file.Path] = true
		info, err := os.Stat(file.Source)
		if err != nil {
			return 0, fmt.Errorf("data file %s: %w", file.Path, err)
		}
		if !info.Mode().IsRegular() {
			return 0, fmt.Errorf("data file %s: %s is not a regular file", file.Path, file.Source)
		}
		total += info.Size()
	}
	if total == 0 {
		return 0, nil
	}
	journal := journalMebibytes(total) * mebibyte
	return roundUp(total + total/32 + journal + 4*mebibyte), nil // inode tables take 1.6 %, reserved blocks 1 %
}

// journalMebibytes is the journal's size: small, since little is written at once.
func journalMebibytes(partition int64) int64 {
	if partition < 256*mebibyte {
		return 4
	}
	return 16
}

// writeData makes the ext4 file system of the data partition inside image, with
// everything initialised, and puts the files in. debugfs writes them, not
// mke2fs -d: that one copies the sources' ctime, which nobody can set.
func writeData(ctx context.Context, tools runner, spec Spec, part Part, image string) error {
	image, err := filepath.Abs(image)
	if err != nil {
		return err
	}
	_, err = tools.run(ctx, tools.Mke2fs, "mke2fs", "e2fsprogs",
		"-q", "-F", "-b", "4096", "-I", "256", "-i", "16384", "-m", "1", "-O", features,
		"-L", DataName, "-U", strings.ToLower(part.GUID), "-J", "size="+strconv.FormatInt(journalMebibytes(part.Size), 10),
		"-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0,hash_seed="+
			strings.ToLower(deriveGUID(spec.Label, "hash seed"))+",offset="+strconv.FormatInt(part.Start, 10),
		image, strconv.FormatInt(part.Size/1024, 10)+"k")
	if err != nil {
		return err
	}
	if len(spec.Data)+len(spec.Folders) == 0 {
		return nil
	}
	script, err := dataScript(tools.dir, spec)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tools.dir, "script"), []byte(script), 0o644); err != nil {
		return fmt.Errorf("write debugfs's commands: %w", err)
	}
	// The image gets a name without '?', which separates debugfs's options.
	if err := os.Symlink(image, filepath.Join(tools.dir, "image")); err != nil {
		return fmt.Errorf("name the image for debugfs: %w", err)
	}
	said, err := tools.run(ctx, tools.Debugfs, "debugfs", "e2fsprogs",
		"-w", "-f", "script", "image?offset="+strconv.FormatInt(part.Start, 10))
	if err != nil {
		return err
	}
	return debugfsFailure(said)
}

// debugfsFailure finds out whether a command failed: debugfs says so on standard
// error only, after the line with its version, and exits with 0 all the same.
func debugfsFailure(said string) error {
	complaint := regexp.MustCompile(`^debugfs \S+ \([^)]*\) ?`).ReplaceAllString(said, "")
	if complaint == "" {
		return nil
	}
	err := fmt.Errorf("run debugfs: %s", complaint)
	if strings.Contains(complaint, "allocate") || strings.Contains(complaint, "No space") {
		return hint.New(err, "the data partition is full: make the image larger")
	}
	return err
}

// dataScript is the list of debugfs commands that makes the folders and files.
// Each source is linked into dir under a plain name first.
func dataScript(dir string, spec Spec) (string, error) {
	var script strings.Builder
	made := map[string]bool{"/": true}
	for _, folder := range spec.Folders {
		makeFolders(&script, made, folder.Path)
		fmt.Fprintf(&script, "sif %s mode 040%o\n", folder.Path, orMode(folder.Mode, 0o755))
		own(&script, folder.Path, folder.UID, folder.GID)
	}
	for i, file := range spec.Data {
		folder, name := path.Dir(file.Path), path.Base(file.Path)
		makeFolders(&script, made, folder)
		source, err := filepath.Abs(file.Source)
		if err != nil {
			return "", err
		}
		plain := "source-" + strconv.Itoa(i)
		if err := os.Symlink(source, filepath.Join(dir, plain)); err != nil {
			return "", fmt.Errorf("name %s for debugfs: %w", source, err)
		}
		fmt.Fprintf(&script, "cd %s\nwrite %s %s\nsif %s mode 0100%o\n", folder, plain, name, file.Path, orMode(file.Mode, 0o644))
		own(&script, file.Path, file.UID, file.GID)
		script.WriteString("cd /\n")
	}
	return script.String(), nil
}

// makeFolders makes a folder and those above it, where they are not made yet.
func makeFolders(script *strings.Builder, made map[string]bool, folder string) {
	for _, step := range steps(folder) {
		if !made[step] {
			made[step] = true
			fmt.Fprintf(script, "mkdir %s\nsif %s mode 040755\n", step, step)
		}
	}
}

func own(script *strings.Builder, path string, uid, gid uint32) {
	fmt.Fprintf(script, "sif %s uid %d\nsif %s gid %d\n", path, uid, path, gid)
}

func orMode(mode, otherwise os.FileMode) os.FileMode {
	if mode.Perm() == 0 {
		return otherwise
	}
	return mode.Perm()
}

// steps lists folder and those above it, outermost first, without "/".
func steps(folder string) []string {
	var list []string
	for ; folder != "/"; folder = path.Dir(folder) {
		list = append([]string{folder}, list...)
	}
	return list
}
