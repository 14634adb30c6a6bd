package manifest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

const service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n"

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want string // objects as kind/name:line, problems as !line text
	}{
		"two documents":      {"# Source: a.yaml\n---\n" + service + "---\n" + service, "service/web:3 service/web:8 "},
		"unknown kinds":      {"apiVersion: v1\nkind: Secret\ndata: {{ not yaml\n---\n" + service, "service/web:5 "},
		"a word on the line": {"--- {apiVersion: v1, kind: Service, metadata: {name: x}}\n", "service/x:1 "},
		"windows":            {"\ufeff" + strings.ReplaceAll(service, "\n", "\r\n"), "service/web:1 "},
		"list":               {"apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata:\n    name: a\n- apiVersion: v1\n  kind: Service\n  metadata: {name: b}\nkind: List\nmetadata: {}\n", "service/a:3 service/b:7 "},
		"list, indented":     {"apiVersion: v1\nkind: List\nitems:\n  - apiVersion: v1\n    kind: Service\n    metadata: {name: a}\n", "service/a:4 "},
		"json":               {"{\"apiVersion\": \"v1\",\n\t\"kind\": \"Service\", \"metadata\": {\"name\": \"j\"}}", "service/j:1 "},
		"json, a stream": {jsonService("a") + "\n" + jsonService("b") + jsonService("c") + "\n\n" + strings.ReplaceAll(jsonService("d"), " ", "\t"),
			"service/a:1 service/b:3 service/c:4 service/d:7 "},
		"json, cut off":          {jsonService("a") + "\n{\"apiVersion\": \"v1\"", "!3 did not find expected service/a:1 "},
		"json, nothing after it": {jsonService("a") + "\n \n# the end\n", "service/a:1 "},
		"json, words after it":   {jsonService("a") + "\nError: no\n", "!3 neither an object nor the end follows a JSON value service/a:1 "},
		"json, a comma":          {jsonService("a") + ",\n" + jsonService("b"), "!2 neither an object nor the end follows a JSON value service/a:1 "},
		"flow, another after it": {"{apiVersion: v1, kind: Service, metadata: {name: x}}\n{apiVersion: v1}\n", "!1 did not find expected <document start> service/x:1 "},
		"json, another kind":     {"{\"kind\": \"Secret\", \"apiVersion\": \"v1\"}\n" + jsonService("b"), "service/b:2 "},
		"twice":                  {service + "spec:\n  type: A\n  type: B\n", "!7 key \"type\" is there twice"},
		"tab":                    {service + "spec:\n\ttype: A\n", "!6 a tab indents this line; YAML takes spaces only"},
		"half":                   {service + "spec: {ports: [{name: http,\n", "!5 did not find expected node content"},
		"template":               {service + "spec: {{ .Values.spec }}\n", "(a Helm template?"},
		"a kind of a template":   {"apiVersion: v1\nkind: {{ .Values.kind }}\n---\n" + service, "!1 the kind is not known (a Helm template? service/web:4 "},
		"the rest is read":       {"kind: Service\n\tx\n---\n" + service, "!2 a tab service/web:4 "},
		"deep":                   {service + "spec: " + strings.Repeat("[", 400) + strings.Repeat("]", 400), "!5 nested deeper than 100"},
		"bomb":                   {bomb(12), "!9 aliases expand to more than 10000 values"},
		"small bomb":             {bomb(5), "!9 aliases expand to more than 10000 values"},
		"alias":                  {service + "a: &a [x, y]\nb: [*a, *a]\n", "service/web:1 "},
		"a CR alone":             {"\"\r\r", "!1 found unexpected end of stream"},
		"merge":                  {"apiVersion: v1\nkind: Service\nmetadata: &m {name: m}\nspec: {<<: *m, type: A}\n", "service/m:1 "},
		"no object":              {"just words\n---\n[1, 2]\n---\n\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			objects, problems := Read(strings.NewReader(c.in), "f.yaml")
			got := ""
			for _, p := range problems {
				got += fmt.Sprintf("!%d %s ", p.Line, p.Text)
			}
			for _, o := range objects {
				got += fmt.Sprintf("%s:%d ", o.ObjectRef, o.ObjectRef.Line)
			}
			for _, part := range strings.Split(c.want, " service") {
				if !strings.Contains(got, part) || c.want == "" && got != "" {
					t.Errorf("got %q, want %q", got, c.want)
				}
			}
		})
	}
}

// TestManyKeys reads a map of very many keys, both ways: the é is go-yaml's.
func TestManyKeys(t *testing.T) {
	for _, first := range []string{"", "  k: é\n"} {
		var b strings.Builder
		b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n" + first)
		for i := range 150_000 {
			fmt.Fprintf(&b, "  k%08d: v\n", i)
		}
		start := time.Now()
		objects, problems := Read(strings.NewReader(b.String()), "f")
		if len(objects) != 1 || len(problems) != 0 {
			t.Fatalf("%d objects, %v", len(objects), problems)
		}
		if took := time.Since(start); took > 10*time.Second { // comparing each with each takes 30 s
			t.Errorf("took %s", took)
		}
	}
}

// TestNoTemplate: bytes that are no text are no template, whatever two of them are.
func TestNoTemplate(t *testing.T) {
	_, problems := Read(strings.NewReader("a: {{\xff\xfe\n"), "f")
	if len(problems) != 1 || strings.Contains(problems[0].Text, "Helm") {
		t.Errorf("%v", problems)
	}
}

// jsonService is a Service in two lines.
func jsonService(name string) string {
	return fmt.Sprintf("{\"apiVersion\": \"v1\", \"kind\": \"Service\",\n \"metadata\": {\"name\": %q}}", name)
}

// TestFilesBounded: what is kept of all files is bounded; the place where it
// ends is told, once.
func TestFilesBounded(t *testing.T) {
	long := service + "  annotations: {note: " + strings.Repeat("x", 1<<20) + "}\n---\n"
	for _, c := range []struct {
		name    string
		text    string
		objects int // in all
		line    int // of the second file
	}{
		{"objects", strings.Repeat("kind: Secret\n---\n", 1000) + strings.Repeat("apiVersion: v1\nkind: Service\n---\n", 150_000), maxObjects, 2000 + 3*50_000},
		{"text", strings.Repeat(long, 40), 63, 23 * 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			var all Files
			n := 0
			for i, want := range []int{0, 1, 0} {
				objects, problems := all.Read(strings.NewReader(c.text), fmt.Sprintf("%d.yaml", i))
				n += len(objects)
				if len(problems) != want {
					t.Fatalf("problems of file %d: %v, want %d", i, problems, want)
				}
				if want > 0 && (problems[0].File != "1.yaml" || problems[0].Line < c.line-3 || problems[0].Line > c.line+3 || !strings.Contains(problems[0].Text, "64 MiB")) {
					t.Errorf("%v, want about line %d", problems[0], c.line)
				}
			}
			if n != c.objects {
				t.Errorf("%d objects kept, want %d", n, c.objects)
			}
		})
	}
}

func bomb(levels int) string {
	var b strings.Builder
	b.WriteString(service + "a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < levels; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", "))
	}
	return b.String()
}

func TestLargeDocument(t *testing.T) {
	long := io.MultiReader(strings.NewReader(service+"x: "), io.LimitReader(letters{}, 100<<20), strings.NewReader("\n---\n"+service))
	objects, problems := Read(long, "big.yaml")
	if len(problems) != 1 || problems[0].Line != 1 || !strings.Contains(problems[0].Text, "larger than 4 MiB") {
		t.Errorf("problems %v", problems)
	}
	if len(objects) != 1 || objects[0].ObjectRef.Line != 7 {
		t.Errorf("objects %v: what follows is read", objects)
	}
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestIgnore(t *testing.T) {
	objects, _ := Read(strings.NewReader("# stickytop.dev/ignore: A04 shared on purpose\n"+service+"  x: y # stickytop.dev/ignore: B10\n"), "f")
	if len(objects) != 1 || len(objects[0].Ignores) != 1 || objects[0].Ignores["A04"] != "shared on purpose" {
		t.Errorf("%v: one without a reason silences nothing", objects)
	}
}

// TestIgnoreInText: a comment silences, and no string that looks like one.
func TestIgnoreInText(t *testing.T) {
	const mark = "# stickytop.dev/ignore: "
	for name, c := range map[string]struct{ spec, want string }{
		"quoted":                {`  note: "text ` + mark + `D01 x"`, ""},
		"single quotes":         {`  note: 'text ` + mark + `D01 x'`, ""},
		"quoted, over lines":    {"  note: \"text\n    " + mark + "D01 x\n    end\"", ""},
		"literal":               {"  note: |\n    a\n    " + mark + "D01 x\n  b: c", ""},
		"flow":                  {`  note: {a: "b ` + mark + `D01 x"}`, ""},
		"after a string":        {`  note: "text ` + mark + `D01 x" ` + mark + `A04 see #12`, "A04=see #12"},
		"after a word":          {`  note: text ` + mark + `D01 x`, "D01=x"},
		"in a list":             {"  note:\n  - a\n  " + mark + "D01 x\n  - b", "D01=x"},
		"below a literal":       {"  note: |\n    a\n" + mark + "D01 x\n  b: c", "D01=x"},
		"no space before the #": {`  note: text` + strings.ReplaceAll(mark, ": ", ":") + `D01 x`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			objects, problems := Read(strings.NewReader(service+"spec:\n"+c.spec+"\n"), "f")
			if len(objects) != 1 || len(problems) != 0 {
				t.Fatal(objects, problems)
			}
			got := ""
			for id, reason := range objects[0].Ignores {
				got += id + "=" + reason
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	// JSON has no comments.
	objects, _ := Read(strings.NewReader(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "annotations": {"note": "x `+mark+`D01 x"}}}`), "f")
	if len(objects) != 1 || len(objects[0].Ignores) != 0 {
		t.Errorf("JSON: %v", objects)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(service))
	f.Add([]byte(bomb(12)))
	f.Add([]byte("\"\r\r"))
	f.Add([]byte("kind: Service\r\rmetadata:\r  name: {a: b}\r"))
	f.Add([]byte("--- \n- a\n...\nitems:\n- x\nkind: List\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		objects, problems := Read(bytes.NewReader(in), "f")
		lines := bytes.Count(in, []byte("\n")) + 2
		for _, o := range objects {
			if o.ObjectRef.Line < 0 || o.ObjectRef.Line > lines {
				t.Errorf("%s on line %d of %d", o.ObjectRef, o.ObjectRef.Line, lines)
			}
		}
		for _, p := range problems {
			if p.Text == "" || p.Line > lines {
				t.Errorf("problem %+v of %d lines", p, lines)
			}
		}
	})
}
