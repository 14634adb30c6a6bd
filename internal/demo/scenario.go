package demo

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"golang.org/x/tools/txtar"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/yaml"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

// Each scenario is a txtar archive: the story, scenario.yaml and, where the
// world is not msgapp.yaml's, patch.yaml. A new scenario is a new file.
//
//go:embed scenarios
var files embed.FS

// Info describes a scenario.
type Info struct {
	Name   string
	Title  string
	Story  string // a paragraph or two, no line longer than 78
	Expect Expect

	Transport string               // what its clients speak
	Client    affinity.ClientModel // how they treat cookies
}

// Expect is what a run of a scenario must show, when its steps are left to
// themselves and each client asks once a second.
type Expect struct {
	After    Duration         `json:"after"`    // check once the world ran this long, at speed 1
	Sessions map[string]Bound `json:"sessions"` // how many sessions are in a condition, by its name
	Moves    Bound            `json:"moves"`    // changes of pod, over all sessions
	Silent   Bound            `json:"silent"`   // of them, those without a new cookie
	RePins   Bound            `json:"repins"`   // of them, those with one
	Failures Bound            `json:"failures"` // failed requests
}

// Bound is a range of counts; an absent end is open.
type Bound struct {
	Min int  `json:"min"`
	Max *int `json:"max"`
}

// Holds reports whether n is within b.
func (b Bound) Holds(n int) bool { return n >= b.Min && (b.Max == nil || n <= *b.Max) }

func (b Bound) String() string {
	if b.Max == nil {
		return fmt.Sprintf("at least %d", b.Min)
	}
	return fmt.Sprintf("%d to %d", b.Min, *b.Max)
}

// Duration is written "1m30s".
type Duration struct{ time.Duration }

// UnmarshalJSON parses what time.ParseDuration does.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var m metav1.Duration
	if err := m.UnmarshalJSON(b); err != nil {
		return err
	}
	d.Duration = m.Duration
	return nil
}

// scenario is scenario.yaml.
type scenario struct {
	Title  string               `json:"title"`
	Order  int                  `json:"order"`  // in lists; those without come last, by name
	Seed   uint64               `json:"seed"`   // when the user names none
	Client affinity.ClientModel `json:"client"` // browser unless given
	// Transport is what the story's clients speak; http unless given.
	Transport string           `json:"transport"`
	Deny      []apiserver.Rule `json:"deny"`
	Steps     []step           `json:"steps"`
	Expect    Expect           `json:"expect"`

	name  string
	story string
	world []apiserver.Object
}

// step is something that happens at a time after the start.
type step struct {
	At  Duration `json:"at"`
	Say string   `json:"say"` // caption from then on; "" leaves it
	Do  []string `json:"do"`  // names of actions
}

// maxCaption is what fits into a line of 80 columns with its mark.
const maxCaption = 76

// Default is the scenario of a demo that names none.
const Default = "tour"

// Scenarios lists what there is, in the order in which it is best learned.
func Scenarios() []Info {
	all, err := parseAll()
	if err != nil {
		panic(err) // embedded, and parsed by the tests
	}
	infos := make([]Info, len(all))
	for i, s := range all {
		infos[i] = Info{Name: s.name, Title: s.Title, Story: s.story, Expect: s.Expect, Transport: s.Transport, Client: s.Client}
	}
	return infos
}

func parseAll() ([]scenario, error) {
	names, err := fs.Glob(files, "scenarios/*.txtar")
	if err != nil {
		return nil, err
	}
	var all []scenario
	for _, name := range names {
		s, _, err := parse(name)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b scenario) int {
		return cmp.Or(cmp.Compare(uint(a.Order-1), uint(b.Order-1)), cmp.Compare(a.name, b.name))
	})
	return all, nil
}

// parse reads all of a scenario but its world, which is returned as a patch.
func parse(file string) (s scenario, patch []byte, err error) {
	data, err := files.ReadFile(file)
	if err != nil {
		return s, nil, err
	}
	archive := txtar.Parse(data)
	for _, f := range archive.Files {
		switch f.Name {
		case "scenario.yaml":
			err = yaml.UnmarshalStrict(f.Data, &s)
		case "patch.yaml":
			patch = f.Data
		default:
			err = fmt.Errorf("unknown file %s", f.Name)
		}
		if err != nil {
			return s, nil, fmt.Errorf("scenario %s: %w", file, err)
		}
	}
	for _, step := range s.Steps {
		if n := utf8.RuneCountInString(step.Say); n > maxCaption {
			return s, nil, fmt.Errorf("scenario %s: a caption of %d characters, %d fit", file, n, maxCaption)
		}
	}
	s.name = strings.TrimSuffix(path.Base(file), ".txtar")
	s.story = strings.TrimSpace(string(archive.Comment))
	s.Client = cmp.Or(s.Client, affinity.ClientBrowser)
	s.Transport = cmp.Or(s.Transport, "http")
	return s, patch, nil
}

// load reads a scenario with its world.
func load(name string) (scenario, error) {
	s, patch, err := parse("scenarios/" + name + ".txtar")
	if err != nil {
		known := make([]string, 0, 16)
		for _, info := range Scenarios() {
			known = append(known, info.Name)
		}
		if slices.Contains(known, name) {
			return s, err
		}
		return s, fmt.Errorf("no scenario %q; there are %s", affinity.Clean(name, 40), strings.Join(known, ", "))
	}
	base, err := files.ReadFile("scenarios/msgapp.yaml")
	if err != nil {
		return s, err
	}
	if s.world, err = objects(base, patch); err != nil {
		return s, fmt.Errorf("scenario %s: %w", name, err)
	}
	return s, nil
}

// objects reads manifests and lays the documents of patch over them, by
// strategic merge; documents that name no object of base add one.
func objects(base, patch []byte) ([]apiserver.Object, error) {
	var all []apiserver.Object
	for doc := range documents(base) {
		o, err := decode(doc)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	for doc := range documents(patch) {
		o, err := decode(doc)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(b apiserver.Object) bool {
			return reflect.TypeOf(b) == reflect.TypeOf(o) && b.GetNamespace() == o.GetNamespace() && b.GetName() == o.GetName()
		})
		if i < 0 {
			all = append(all, o)
			continue
		}
		if all[i], err = merge(all[i], doc); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func documents(manifest []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for doc := range bytes.SplitSeq(manifest, []byte("\n---\n")) {
			if len(bytes.TrimSpace(doc)) > 0 && !yield(doc) {
				return
			}
		}
	}
}

func decode(doc []byte) (apiserver.Object, error) {
	decoded, _, err := apiserver.Codecs.UniversalDeserializer().Decode(doc, nil, nil)
	if err != nil {
		return nil, err
	}
	o, ok := decoded.(apiserver.Object)
	if !ok {
		return nil, fmt.Errorf("%T is not an object", decoded)
	}
	return o, nil
}

// merge applies a JSON merge patch (RFC 7396): what is null goes, a list replaces
// the list that was there.
func merge(o apiserver.Object, patch []byte) (apiserver.Object, error) {
	before, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	change, err := yaml.YAMLToJSON(patch)
	if err != nil {
		return nil, err
	}
	after, err := jsonpatch.MergePatch(before, change)
	if err != nil {
		return nil, err
	}
	merged := reflect.New(reflect.TypeOf(o).Elem()).Interface().(apiserver.Object)
	return merged, json.Unmarshal(after, merged)
}
