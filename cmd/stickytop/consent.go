package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// consent says what will be made and returns nil once the user agreed: by --yes,
// or on a terminal.
func consent(ctx context.Context, plan string, yes bool, streams genericiooptions.IOStreams) error {
	fmt.Fprint(streams.ErrOut, folded(streams.ErrOut, plan))
	if yes {
		return nil
	}
	in, ok := streams.In.(*os.File)
	if !ok || !isatty.IsTerminal(in.Fd()) {
		return &failure{code: exitUsage, err: fmt.Errorf("nobody is there to agree to this: standard input is no terminal"), hint: "--yes agrees"}
	}
	fmt.Fprint(streams.ErrOut, "Go ahead? [y/N] ")
	answer := make(chan string, 1)
	go func() { // a read from a terminal cannot be cancelled; it ends with the program
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(streams.ErrOut)
		return ctx.Err()
	case line := <-answer:
		if line == "y" || line == "yes" {
			return nil
		}
	}
	return &failure{code: exitUsage, err: fmt.Errorf("nothing was made")}
}
