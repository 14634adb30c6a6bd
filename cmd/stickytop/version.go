package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"
)

// version is set at link time: -ldflags "-X main.version=v1.2.3".
var version = "dev"

type versionInfo struct {
	Version   string `json:"version"`
	Commit    string `json:"commit,omitempty"`
	Modified  bool   `json:"modified,omitempty"`
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

// String is what version prints, a line.
func (i versionInfo) String() string {
	return fmt.Sprintf("stickytop %s (%s, %s)\n", i.Version, i.GoVersion, i.Platform)
}

func newVersion(streams genericiooptions.IOStreams) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info := currentVersion()
			switch format {
			case "":
				_, err := fmt.Fprint(streams.Out, info)
				return err
			case "json":
				e := json.NewEncoder(streams.Out)
				e.SetIndent("", "    ")
				return e.Encode(info)
			case "yaml":
				text, err := yaml.Marshal(info)
				if err != nil {
					return err
				}
				_, err = streams.Out.Write(text)
				return err
			}
			return usageError("unknown output format %q: use json or yaml", format)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "", "json or yaml")
	return cmd
}

func currentVersion() versionInfo {
	info := versionInfo{Version: version, GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			info.Commit = s.Value
		case "vcs.modified":
			info.Modified = s.Value == "true"
		}
	}
	if info.Version == "dev" && build.Main.Version != "" && build.Main.Version != "(devel)" {
		info.Version = build.Main.Version // go install module@version
	}
	return info
}
