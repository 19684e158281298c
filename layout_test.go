package wafer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// These tests enforce the layout of the repository (design, section 3): which
// package may import what, and what the root module may require. A new package
// or dependency is listed here and described in docs/architecture.md.

const layoutModule = "github.com/waferkit/wafer"

// layoutPackages lists what each package of the root module may import besides
// the standard library: packages of the module by their folder, and packages of
// other modules by their full path.
var layoutPackages = map[string][]string{
	".":                     {"keyring", "codec", "store", "revocation", "refresh", "internal/bearer", "internal/gate", "internal/hidden", "internal/keywatch", "internal/live", "internal/node", "internal/peers", "internal/remotekeys", "internal/resume", "internal/seals", "internal/sentinel"},
	"keyring":               {},
	"keyring/passphrase":    {"keyring", "golang.org/x/crypto/argon2", "golang.org/x/crypto/scrypt"},
	"codec":                 {"keyring", "internal/hidden", "internal/xaes", "github.com/gorilla/securecookie", "github.com/fxamacker/cbor/v2", "github.com/golang-jwt/jwt/v5"},
	"store":                 {},
	"store/internal/engine": {"store"},
	"store/memory":          {"store"},
	"store/storetest":       {"store", "internal/rounds"},
	"revocation":            {"store", "internal/clock", "internal/flight", ristretto},
	"refresh":               {"codec", "store", "internal/flight"},
	"internal/bearer":       {"codec", "store", "revocation", "internal/sentinel", ristretto},
	"internal/clock":        {},
	"internal/e2e":          {}, // its tests import anything
	"internal/faulttest":    {".", "keyring", "store", "internal/rounds"},
	"internal/enginebench":  {"store"}, // for benchmarks and scale tests
	"internal/flight":       {},
	"internal/testserver":   {},
	"internal/gate":         {"codec", "keyring", "store", "revocation"},
	"internal/hidden":       {},
	"internal/keywatch":     {"keyring"},
	"internal/live":         {"codec", "store", "internal/sentinel"},
	"internal/node":         {"store", "revocation", "refresh", "internal/sentinel"},
	"internal/pairs":        {}, // for benchmarks
	"internal/peers":        {"store"},
	"internal/printed":      {}, // for tests
	"internal/remotekeys":   {"codec", "keyring", "store", "revocation", "internal/clock", "internal/sentinel"},
	"internal/resume":       {"codec", "keyring", "store", "refresh", "internal/gate", "internal/node", "internal/sentinel"},
	"internal/rounds":       {}, // for tests
	"internal/seals":        {"codec", "keyring", "refresh", "store"},
	"internal/sentinel":     {},
	"internal/xaes":         {},
	"wafertest":             {".", "keyring", "store/memory"},
}

// layoutTestOnly lists the packages that only tests import. Only they may
// depend on package testing, and in layoutPackages only their own entries name
// one another.
var layoutTestOnly = []string{"wafertest", "store/storetest", "internal/enginebench", "internal/faulttest", "internal/rounds", "internal/testserver"}

const ristretto = "github.com/dgraph-io/ristretto/v2"

// layoutRequirements lists everything that the root's go.mod may require.
var layoutRequirements = map[string]string{
	"github.com/gorilla/securecookie": "the Codec interface that applications program against",
	"github.com/golang-jwt/jwt/v5":    "access tokens",
	ristretto:                         "bounded caches",
	"github.com/fxamacker/cbor/v2":    "session data",
	"golang.org/x/crypto":             "primitives",
	"github.com/gorilla/sessions":     "tests: an application on gorilla/sessions",
	"github.com/alexedwards/scs/v2":   "benchmarks: sessions in a store",

	"github.com/x448/float16":       "of cbor",
	"github.com/cespare/xxhash/v2":  "of ristretto",
	"github.com/dustin/go-humanize": "of ristretto",
	"golang.org/x/sys":              "of ristretto and x/crypto",
}

type layoutPackage struct {
	ImportPath, Name, Dir string
	Standard              bool
	Imports, Deps         []string
}

// layoutList returns the packages of the root module and their dependencies, as
// `go list -deps` reports them without the workspace: a user does not get what
// a workspace adds.
func layoutList(t *testing.T) map[string]layoutPackage {
	t.Helper()
	out := layoutGo(t, ".", "list", "-deps", "-json=ImportPath,Name,Dir,Standard,Imports,Deps", "./...")
	packages := map[string]layoutPackage{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p layoutPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
}

func layoutGo(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out
}

// layoutFolder returns the folder of a package of the root module. ours is
// false for any other package.
func layoutFolder(importPath string) (folder string, ours bool) {
	if importPath == layoutModule {
		return ".", true
	}
	return strings.CutPrefix(importPath, layoutModule+"/")
}

func TestHouseImportDirections(t *testing.T) {
	packages := layoutList(t)
	seen := 0
	for _, p := range packages {
		folder, ours := layoutFolder(p.ImportPath)
		if !ours {
			continue
		}
		seen++
		allowed, listed := layoutPackages[folder]
		if !listed {
			t.Errorf("package %s is not listed: say in layoutPackages what it may import", folder)
			continue
		}
		for _, imported := range p.Imports {
			if packages[imported].Standard {
				continue
			}
			name := imported
			if folder, ours := layoutFolder(imported); ours {
				name = folder
			}
			if !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s: it may import %q and the standard library", folder, name, allowed)
			}
		}
		// HTTP lives in the root, and in two packages for tests of HTTP.
		if !slices.Contains([]string{".", "wafertest", "internal/faulttest"}, folder) && slices.Contains(p.Deps, "net/http") {
			t.Errorf("%s depends on net/http: HTTP lives in the root", folder)
		}
		if !slices.Contains(layoutTestOnly, folder) && slices.Contains(p.Deps, "testing") {
			t.Errorf("%s depends on testing", folder)
		}
		if slices.Contains(p.Imports, "C") {
			t.Errorf("%s uses cgo", folder)
		}
	}
	if seen < 9 {
		t.Errorf("go list shows %d packages of %s; the test looks in the wrong place", seen, layoutModule)
	}
}

// The other modules: an engine imports only the contract.
func TestHouseImportDirectionsOfOtherModules(t *testing.T) {
	for _, module := range layoutModules(t) {
		if module == "." || !strings.HasPrefix(module, "store/") {
			continue // cmd and examples may import anything
		}
		layoutFiles(t, module, func(name string, file *ast.File) {
			if strings.HasSuffix(name, "_test.go") {
				return
			}
			for _, spec := range file.Imports {
				imported, _ := strconv.Unquote(spec.Path.Value)
				folder, ours := layoutFolder(imported)
				if ours && folder != "store" && folder != "store/internal/engine" && !strings.HasPrefix(folder, module) {
					t.Errorf("%s imports %s: an engine may import store, store/internal/engine and its driver", name, imported)
				}
			}
		})
	}
}

// layoutMod is the output of `go mod edit -json`.
type layoutMod struct {
	Module, Toolchain any
	Require           []struct{ Path, Version string }
	Replace           []struct{ Old, New struct{ Path string } }
}

func layoutModFile(t *testing.T, module string) (m layoutMod) {
	t.Helper()
	if err := json.Unmarshal(layoutGo(t, module, "mod", "edit", "-json"), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHouseRequirements(t *testing.T) {
	m := layoutModFile(t, ".")
	if len(m.Require) < 2 {
		t.Errorf("go.mod requires %v; the test reads it wrong", m.Require)
	}
	for _, r := range m.Require {
		if _, listed := layoutRequirements[r.Path]; !listed {
			t.Errorf("go.mod requires %s, which layoutRequirements does not allow: no test framework, engine driver or telemetry", r.Path)
		}
	}
	if m.Toolchain != nil || len(m.Replace) != 0 {
		t.Errorf("go.mod has a toolchain (%v) or replaces something (%v)", m.Toolchain, m.Replace)
	}
}

// Until the first tag, each nested module replaces every wafer module that it
// requires by its folder, and go.work uses each module.
func TestHouseNestedModules(t *testing.T) {
	modules := layoutModules(t)
	for _, module := range modules {
		if module == "." {
			continue
		}
		m := layoutModFile(t, module)
		for _, r := range m.Require {
			folder, ours := layoutFolder(r.Path)
			if !ours {
				continue
			}
			replaced := ""
			for _, replace := range m.Replace {
				if replace.Old.Path == r.Path {
					replaced = path.Join(module, replace.New.Path)
				}
			}
			if replaced != path.Clean(folder) {
				t.Errorf("%s/go.mod requires %s and replaces it by %q, want the folder %q", module, r.Path, replaced, folder)
			}
		}
		if m.Toolchain != nil {
			t.Errorf("%s/go.mod has a toolchain line", module)
		}
	}
	if len(modules) == 1 {
		return
	}
	work, err := os.ReadFile("go.work")
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range modules {
		if !slices.Contains(strings.Fields(string(work)), strings.TrimSuffix("./"+module, "/.")) {
			t.Errorf("go.work does not use %s", module)
		}
	}
}

func TestHouseRootExportsFewNames(t *testing.T) {
	var names []string
	add := func(name string) {
		if ast.IsExported(name) {
			names = append(names, name)
		}
	}
	entries, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range entries {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					add(d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						add(spec.Name.Name)
					case *ast.ValueSpec:
						for _, n := range spec.Names {
							add(n.Name)
						}
					}
				}
			}
		}
	}
	if len(names) >= 60 || !slices.Contains(names, "New") || !slices.Contains(names, "ErrNoSession") {
		t.Errorf("the root exports %d names, want fewer than 60: %q", len(names), slices.Sorted(slices.Values(names)))
	}
}

// Every public package has an example that runs. Two of them need a *testing.T,
// so their example is a test in example_test.go.
func TestHouseEveryPackageHasAnExample(t *testing.T) {
	needTesting := []string{"wafertest", "store/storetest"}
	for _, p := range layoutList(t) {
		folder, ours := layoutFolder(p.ImportPath)
		if !ours || p.Name == "main" || strings.Contains("/"+folder, "/internal/") {
			continue
		}
		if slices.Contains(needTesting, folder) {
			b, _ := os.ReadFile(filepath.Join(p.Dir, "example_test.go"))
			if !regexp.MustCompile(`(?m)^func Test\w+\(t \*testing\.T\)`).Match(b) {
				t.Errorf("%s has no test in example_test.go", folder)
			}
			continue
		}
		tests, err := filepath.Glob(filepath.Join(p.Dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		runnable := false
		for _, name := range tests {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Error(err)
				continue
			}
			runnable = runnable || slices.ContainsFunc(doc.Examples(file), func(e *doc.Example) bool { return e.Output != "" })
		}
		if !runnable {
			t.Errorf("%s has no example with output", folder)
		}
	}
}

func TestHouseNothingIsLeftForLater(t *testing.T) {
	later := regexp.MustCompile(`\b(TODO|FIXME)\b`)
	files := 0
	layoutWalk(t, ".", func(name string) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files++
		for i, line := range bytes.Split(b, []byte("\n")) {
			if later.Match(line) {
				t.Errorf("%s:%d: %s", name, i+1, bytes.TrimSpace(line))
			}
		}
	})
	if files < 30 {
		t.Errorf("looked into %d files only", files)
	}
}

// layoutModules returns the folders that have a go.mod, in slash form.
func layoutModules(t *testing.T) (modules []string) {
	t.Helper()
	layoutWalk(t, ".", func(name string) {
		if filepath.Base(name) == "go.mod" {
			modules = append(modules, filepath.ToSlash(filepath.Dir(name)))
		}
	})
	if !slices.Contains(modules, ".") {
		t.Fatal("the root module was not found")
	}
	return modules
}

// layoutFiles parses the imports of the Go files below a folder.
func layoutFiles(t *testing.T, folder string, visit func(name string, file *ast.File)) {
	t.Helper()
	layoutWalk(t, folder, func(name string) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			return
		}
		visit(name, file)
	})
}

// layoutWalk visits the files below a folder, except hidden ones and testdata.
func layoutWalk(t *testing.T, folder string, visit func(name string)) {
	t.Helper()
	err := filepath.WalkDir(filepath.FromSlash(folder), func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		base := filepath.Base(name)
		if entry.IsDir() && name != "." && (strings.HasPrefix(base, ".") || base == "testdata") {
			return filepath.SkipDir
		}
		if !entry.IsDir() {
			visit(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
