// SPDX-License-Identifier: Apache-2.0

// Plans with Karpenter's own scheduler (sigs.k8s.io/karpenter, one Solve) what `forerun plan` plans,
// from the same files, and prints the plan in the same form, with what it took.
//
//	karpenter --pods FILE[,FILE] --config DIR --catalog FILE [--nodes FILE]
//	karpenter --cases        a case a line on stdin, a folder with pods.json, config/, catalog.json and
//	                         perhaps nodes.json; a plan a line on stdout
//	karpenter --capacity --config DIR --catalog FILE
//	                         what a node of each type has and can give away, by node class; its labels
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

type usage struct {
	CPUSeconds  float64 `json:"cpu_seconds"`
	MaxRSSBytes int64   `json:"max_rss_bytes"`
}

// What the process has used since it began.
func used() usage {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return usage{}
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return usage{CPUSeconds: seconds(ru.Utime) + seconds(ru.Stime), MaxRSSBytes: ru.Maxrss * 1024}
}

type flags struct {
	pods, config, catalog, nodes string
	cases, capacity              bool
}

func main() {
	var f flags
	flag.StringVar(&f.pods, "pods", "", "files of pods and workloads, with commas between")
	flag.StringVar(&f.config, "config", "", "folder of NodePools and EC2NodeClasses")
	flag.StringVar(&f.catalog, "catalog", "", "catalog of instance types and offerings")
	flag.StringVar(&f.nodes, "nodes", "", "file of the nodes that exist")
	flag.BoolVar(&f.cases, "cases", false, "read folders of cases from stdin")
	flag.BoolVar(&f.capacity, "capacity", false, "print what nodes have and can give away, and their labels")
	flag.Parse()
	log.SetLogger(logr.Discard())
	if err := run(f, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "karpenter:", err)
		os.Exit(1)
	}
}

func run(f flags, in io.Reader, out io.Writer) error {
	buffered := bufio.NewWriter(out)
	defer buffered.Flush()
	encoder := json.NewEncoder(buffered)
	switch {
	case f.cases:
		return runCases(in, encoder)
	case f.capacity:
		world, err := readWorld(f.config, f.catalog)
		if err != nil {
			return err
		}
		return encoder.Encode(tableOf(world))
	default:
		plan, err := planFiles(f)
		if err != nil {
			return err
		}
		return encoder.Encode(plan)
	}
}

func runCases(in io.Reader, encoder *json.Encoder) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		folder := strings.TrimSpace(lines.Text())
		if folder == "" {
			continue
		}
		f := flags{pods: filepath.Join(folder, "pods.json"), config: filepath.Join(folder, "config"),
			catalog: filepath.Join(folder, "catalog.json")}
		if nodes := filepath.Join(folder, "nodes.json"); exists(nodes) {
			f.nodes = nodes
		}
		plan, err := planFiles(f)
		if err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
		plan.Case = folder
		if err := encoder.Encode(plan); err != nil {
			return err
		}
	}
	return lines.Err()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func planFiles(f flags) (*plan, error) {
	world, err := readWorld(f.config, f.catalog)
	if err != nil {
		return nil, err
	}
	if err := world.readPods(strings.Split(f.pods, ",")); err != nil {
		return nil, err
	}
	if f.nodes != "" {
		if err := world.readNodes(f.nodes); err != nil {
			return nil, err
		}
	}
	loaded := used()
	results, err := solve(world)
	if err != nil {
		return nil, err
	}
	solved := used()
	made := describe(world, results)
	made.Usage.Loaded, made.Usage.Planned = loaded, solved
	made.Totals.Seconds = solved.CPUSeconds - loaded.CPUSeconds
	return made, nil
}
