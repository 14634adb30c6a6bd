package manifest

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/kubestickytop/stickytop/internal/findings"
)

// slow is what go-yaml makes of a document.
func slow(doc document) (*findings.Value, string) {
	var node yaml.Node
	if err := yaml.Unmarshal(doc.text, &node); err != nil {
		return nil, err.Error()
	}
	if len(node.Content) == 0 {
		return nil, ""
	}
	c := converter{offset: doc.line - 1, last: doc.last(), left: maxValues, aliased: maxAliased}
	v := c.value(node.Content[0], 0)
	return &v, c.err
}

// agree fails when the fast way reads a document that go-yaml refuses or reads
// otherwise. It reports whether the fast way read it.
func agree(t *testing.T, doc document) bool {
	t.Helper()
	d := reader{scratch: newScratch()}
	fast, ok := d.readBlock(doc)
	if !ok {
		return false
	}
	want, err := slow(doc)
	if err != "" {
		t.Fatalf("go-yaml refuses what the fast way reads: %s\n%q", err, doc.text)
	}
	if !reflect.DeepEqual(fast, want) {
		t.Fatalf("read differently:\n%q\nfast %s\nslow %s", doc.text, show(fast), show(want))
	}
	return true
}

func show(v *findings.Value) string {
	var b bytes.Buffer
	_ = yaml.NewEncoder(&b).Encode(v)
	return b.String()
}

// TestBlock reads everything that testdata has both ways, and wants the fast
// way for what kubectl and charts write.
func TestBlock(t *testing.T) {
	files, err := filepath.Glob("../findings/testdata/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	rules, err := filepath.Glob("../findings/testdata/rules/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	docs, fast := 0, 0
	for _, file := range append(files, rules...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := newSplitter(bytes.NewReader(text))
		for {
			doc, ok := s.next()
			if !ok {
				break
			}
			if docs++; agree(t, doc) {
				fast++
			}
		}
	}
	s := newSplitter(bytes.NewReader(tenThousand(t)))
	for i := 0; ; i++ {
		doc, ok := s.next()
		if !ok {
			break
		}
		if i < 100 && !agree(t, doc) {
			t.Errorf("what kubectl writes is read slowly:\n%s", doc.text)
		}
	}
	if fast == 0 {
		t.Errorf("none of %d documents is read fast", docs)
	}
}

var odd = []string{
	"a: b", "a:\n- b\n- c: d\n  e: f\n-\n  g: h\n- - i\n", "a: \"b\" # c", "a: 'b' x", "a: 'it''s'", "a: b: c", "a: b\n  c", "a: |\n  b", "- a\n-b", "a: - b",
	"a: 1e3\nb: 0x1F\nc: 2024-01-01\nd: ~\ne: Null\nf: yes\ng: 1_000\nh: .inf\ni: -.5\nj: 012\nk: 0o7\nl: 10.0.0.1\nm: 5m\nn: +1\no: 99999999999999999999",
	"a: {}\nb: []\nc: {d: e}", "a: b\na: c", "a:\n b: c\n  d: e", " a: b\nc: d", "a: b #c\nd: e#f\ng: # h\n  i: j", "a:\n- b\n c: d", "a:\n  - b\n- c", "a: b \n\n\n# x\nc: d",
	"on: 1\n80: x", "a: \"x\\n\"", "a: [b]\n", "? a\n: b", "a: &x b\nc: *x", "<<: {a: b}", "a: !!str 1", "a: b\n...\nc: d", "%YAML 1.1\n---\na: b", "a: b\r\nc: d", "a:\tb", "a: \u00e9", "- \"a\": b", "- 'a: b'", "- a: b\n  - c",
	"a: $(X)\nb: (c)\nd: ^e$\nf: /g\nh: ._i", "a:\n-\n- b", "a:\n-\n  - b", "a: -\nb: -1\nc: --x", "a", "a:", "- ", "a: b\n-c: d", "key:  spaced   value", "- a\n# c\n  b", "a: true\nb: True\nc: tRue",
}

func TestBlockOddities(t *testing.T) {
	for _, text := range odd {
		agree(t, document{text: []byte(text), line: 7})
	}
}

// FuzzBlock holds the fast way to what go-yaml reads.
func FuzzBlock(f *testing.F) {
	for _, text := range odd {
		f.Add([]byte(text))
	}
	for _, doc := range bytes.SplitN(tenThousand(f), []byte("---\n"), 6)[1:5] {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) < 1<<16 {
			agree(t, document{text: text, line: 1})
		}
	})
}
