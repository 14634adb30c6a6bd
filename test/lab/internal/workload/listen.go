package workload

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// Listen accepts TCP connections and answers nothing: a database's place in the founding chart, for those who only
// look whether something listens. Each connection is one log line.
func Listen(args []string) error {
	flags := flag.NewFlagSet("listen", flag.ContinueOnError)
	port := flags.String("port", env("PORT", "27017"), "port to listen on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("", *port))
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		os.Exit(0)
	}()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		fmt.Println("connection from", conn.RemoteAddr())
		go func() {
			defer conn.Close()
			io.Copy(io.Discard, conn)
		}()
	}
}

// Run runs the workload of that name.
func Run(name string, args []string) error {
	switch name {
	case "echo":
		return Echo(args)
	case "haproxy":
		return HAProxy(args)
	case "listen":
		return Listen(args)
	}
	return fmt.Errorf("no workload %q", name)
}
