package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"
)

// Formats are the values of -o, for help and completion.
var Formats = []string{"wide", "json", "yaml", "name", "jsonpath=", "go-template=", "custom-columns="}

// Printer writes a list in one format.
type Printer func(w io.Writer, list Printable) error

// Printable is a list with its table.
type Printable interface {
	runtime.Object
	table(wide bool) table
	names() []string
}

// NewPrinter returns the printer of an -o value; "" is the table.
func NewPrinter(format string, noHeaders bool) (Printer, error) {
	name, arg, hasArg := strings.Cut(format, "=")
	switch {
	case format == "" || format == "wide":
		return func(w io.Writer, l Printable) error { return l.table(format == "wide").print(w, noHeaders) }, nil
	case format == "json":
		return printJSON, nil
	case format == "yaml":
		return printYAML, nil
	case format == "name":
		return printNames, nil
	case name == "jsonpath" && hasArg:
		expression, err := relaxed(arg)
		if err != nil {
			return nil, fmt.Errorf("-o %s: %w", format, err)
		}
		p, err := printers.NewJSONPathPrinter(expression)
		if err != nil {
			return nil, fmt.Errorf("-o %s: %w", format, err)
		}
		p.AllowMissingKeys(true)
		return func(w io.Writer, l Printable) error { return p.PrintObj(l, w) }, nil
	case name == "go-template" && hasArg:
		p, err := printers.NewGoTemplatePrinter([]byte(arg))
		if err != nil {
			return nil, fmt.Errorf("-o %s: %w", format, err)
		}
		p.AllowMissingKeys(true)
		return func(w io.Writer, l Printable) error { return p.PrintObj(l, w) }, nil
	case name == "custom-columns" && hasArg:
		return newCustomColumns(arg, noHeaders)
	}
	return nil, fmt.Errorf("unknown output format %q: use one of %s", format, strings.Join(Formats, ", "))
}

func printJSON(w io.Writer, l Printable) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "    ")
	e.SetEscapeHTML(false)
	return e.Encode(l)
}

func printYAML(w io.Writer, l Printable) error {
	text, err := yaml.Marshal(l)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

func printNames(w io.Writer, l Printable) error {
	kind := strings.ToLower(strings.TrimSuffix(l.GetObjectKind().GroupVersionKind().Kind, "List"))
	for _, n := range l.names() {
		if _, err := fmt.Fprintf(w, "%s.stickytop.dev/%s\n", kind, n); err != nil {
			return err
		}
	}
	return nil
}

// table is a kubectl-style table.
type table struct {
	header []string
	rows   [][]string
	empty  string
}

func (t table) print(w io.Writer, noHeaders bool) error {
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(w, t.empty)
		return err
	}
	tw := printers.GetNewTabWriter(w)
	rows := t.rows
	if !noHeaders {
		rows = slices.Concat([][]string{t.header}, rows)
	}
	for _, row := range rows {
		for i, cell := range row {
			if cell == "" {
				row[i] = "<none>"
			}
		}
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	return tw.Flush()
}
