package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

// Description is what the lab's other processes may know of a pod: pod.json in its folder while it runs, and in
// its log folder for good.
type Description struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	Node      string `json:"node"`
	IP        string `json:"ip"`
	NS        string `json:"ns"` // its network namespace; empty for the node's
}

func describe(spec layout.Spec, d Description) error {
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	logs := LogDir(spec, d.Namespace, d.Name, d.UID)
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return err
	}
	for _, dir := range []string{PodDir(spec, d.UID), logs} {
		if err := os.WriteFile(filepath.Join(dir, "pod.json"), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// FindPod finds a running pod.
func FindPod(spec layout.Spec, namespace, name string) (Description, error) {
	pods, err := descriptions(filepath.Join(spec.Dir, "pods", "*", "pod.json"))
	for _, d := range pods {
		if d.Namespace == namespace && d.Name == name {
			return d, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("no running pod %s/%s", namespace, name)
	}
	return Description{}, err
}

// AllPods returns every pod that ever ran in the lab.
func AllPods(spec layout.Spec) ([]Description, error) {
	return descriptions(filepath.Join(spec.Dir, "podlogs", "*", "pod.json"))
}

func descriptions(pattern string) ([]Description, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	var out []Description
	for _, path := range paths {
		data, err := os.ReadFile(path)
		var d Description
		if err == nil && json.Unmarshal(data, &d) == nil { // a pod may end, or begin, while we look
			out = append(out, d)
		}
	}
	return out, nil
}
