// SPDX-License-Identifier: Apache-2.0

// A Go net/http server over TLS: tls.go CERTIFICATE KEY prints its port and serves HTTP/1.1 until standard input ends.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

func main() {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			io.WriteString(w, "ok")
		}),
	}
	go server.ServeTLS(listener, os.Args[1], os.Args[2])
	io.Copy(io.Discard, os.Stdin)
}
