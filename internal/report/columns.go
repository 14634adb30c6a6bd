package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"k8s.io/client-go/util/jsonpath"
)

// newCustomColumns reads kubectl's NAME:.json.path,NAME:.json.path.
func newCustomColumns(spec string, noHeaders bool) (Printer, error) {
	var header []string
	var paths []*jsonpath.JSONPath
	for _, column := range strings.Split(spec, ",") {
		name, path, ok := strings.Cut(column, ":")
		if !ok || name == "" || path == "" {
			return nil, fmt.Errorf("-o custom-columns: want NAME:.json.path[,…], got %q", column)
		}
		expression, err := relaxed(path)
		if err != nil {
			return nil, fmt.Errorf("-o custom-columns: column %s: %w", name, err)
		}
		p := jsonpath.New(name).AllowMissingKeys(true)
		if err := p.Parse(expression); err != nil {
			return nil, fmt.Errorf("-o custom-columns: column %s: %w", name, err)
		}
		header, paths = append(header, name), append(paths, p)
	}
	return func(w io.Writer, l Printable) error {
		items, err := asMaps(l)
		if err != nil {
			return err
		}
		t := table{header: header, empty: "No resources found."}
		for _, item := range items {
			row := make([]string, len(paths))
			for i, p := range paths {
				var cell bytes.Buffer
				if err := p.Execute(&cell, item); err != nil {
					return err
				}
				row[i] = cell.String()
			}
			t.rows = append(t.rows, row)
		}
		return t.print(w, noHeaders)
	}, nil
}

// relaxed takes what kubectl takes: {.name}, .name and name.
func relaxed(path string) (string, error) {
	if strings.HasPrefix(path, "{") {
		if !strings.HasSuffix(path, "}") {
			return "", fmt.Errorf("unbalanced braces in %q", path)
		}
		return path, nil
	}
	if strings.ContainsAny(path, "{}") {
		return path, nil
	}
	return "{." + strings.TrimPrefix(path, ".") + "}", nil
}

func asMaps(l Printable) ([]map[string]any, error) {
	text, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	var list struct{ Items []map[string]any }
	return list.Items, json.Unmarshal(text, &list)
}
