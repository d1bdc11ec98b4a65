package contain

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAPanicIsAnErrorAndIsReportedWithItsStack(t *testing.T) {
	reported := make(chan *Panic, 1)
	Report(func(p *Panic) { reported <- p })
	defer Report(func(*Panic) {})
	before := Count()
	err := Call("feed the cat", func() error {
		var bowls []int
		bowls[len(bowls)]++
		return nil
	})
	var p *Panic
	if !errors.As(err, &p) || !strings.HasPrefix(err.Error(), "feed the cat: a defect in gilgul: runtime error: index out of range") {
		t.Fatalf("got %v", err)
	}
	if got := <-reported; got != p || !strings.Contains(got.Stack, "contain_test.go") {
		t.Errorf("reported %+v", got)
	}
	if Count() != before+1 {
		t.Errorf("counted %d, want %d", Count(), before+1)
	}
}

func TestAPanicInAGoroutineEndsThatGoroutineOnly(t *testing.T) {
	reported := make(chan *Panic, 1)
	Report(func(p *Panic) { reported <- p })
	defer Report(func(*Panic) {})
	Go("count mice", func() { panic("no mice") })
	if p := <-reported; p.Name != "count mice" || p.Value != "no mice" {
		t.Errorf("reported %+v", p)
	}
}

func TestAReporterThatPanicsHarmsNothing(t *testing.T) {
	Report(func(*Panic) { panic("again") })
	defer Report(func(*Panic) {})
	if err := Call("work", func() error { panic("first") }); err == nil || !strings.Contains(err.Error(), "first") {
		t.Errorf("got %v", err)
	}
}

func TestAnErrorPassesAsItIs(t *testing.T) {
	want := errors.New("no disk")
	if err := Call("work", func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}

func TestReadingAFileThatWasCutOffIsAnError(t *testing.T) {
	fd, err := unix.MemfdCreate("short", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, 4096); err != nil {
		t.Fatal(err)
	}
	memory, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(memory)
	if err := unix.Ftruncate(fd, 0); err != nil {
		t.Fatal(err)
	}
	var sum byte
	if err := Call("read the file", func() error { sum += memory[0]; return nil }); err == nil {
		t.Errorf("read %d beyond the end of the file", sum)
	}
}

// A goroutine that was started in another way could end PID 1 by a panic.
func TestEveryGoroutineOfInitIsContained(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "testdata" {
			return filepath.SkipDir // programs of tests, which are not part of gilgul
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		if file.Name.Name == "contain" {
			return nil
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%v: a bare go statement; use contain.Go", set.Position(n.Pos()))
			case *ast.SelectorExpr: // sync.WaitGroup and its like start goroutines too
				if x, ok := n.X.(*ast.Ident); n.Sel.Name == "Go" && (!ok || x.Name != "contain") {
					t.Errorf("%v: a goroutine that is not contained; use contain.Go", set.Position(n.Pos()))
				}
			}
			return true
		})
		return nil
	})
	if err != nil || files < 20 {
		t.Errorf("looked at %d files: %v", files, err)
	}
}
