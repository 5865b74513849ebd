// SPDX-License-Identifier: Apache-2.0

// Writes random situations and what the HPA controller of Kubernetes does in each, one a line:
// cases.txt, which tests/unit/core_hpa_peer_test.c holds forerun against.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"

	"k8s.io/kubernetes/pkg/controller/podautoscaler"
)

func main() {
	count := flag.Int("count", 1000, "situations")
	seed := flag.Int64("seed", 1, "of the random numbers")
	flag.Parse()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	if err := podautoscaler.PeerCases(*seed, *count, out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
