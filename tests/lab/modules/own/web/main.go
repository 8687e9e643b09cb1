// A web server and its client, for the lab's workloads.
//
//	web serve ADDRESS             answers every request with the pod's name and address
//	web ask URL INTERVAL FILE     asks over a new connection each time, and writes a line a request
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

const patience = 2 * time.Second

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		serve(os.Args[2])
	case len(os.Args) == 5 && os.Args[1] == "ask":
		interval, err := time.ParseDuration(os.Args[3])
		if err != nil {
			log.Fatalf("the interval %q can't be read: %v", os.Args[3], err)
		}
		file, err := os.OpenFile(os.Args[4], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			log.Fatalf("the answers can't be kept: %v", err)
		}
		ask(os.Args[2], interval, file)
	default:
		log.Fatal("usage: web serve ADDRESS | web ask URL INTERVAL FILE")
	}
}

func serve(address string) {
	name, err := os.Hostname()
	if err != nil {
		log.Fatalf("the pod has no name: %v", err)
	}
	answer := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %v\n", name, r.Context().Value(http.LocalAddrContextKey))
	}
	log.Fatal(http.ListenAndServe(address, http.HandlerFunc(answer)))
}

// ask writes "ok" or "failed: why" with the time, so that a reader can count.
func ask(url string, interval time.Duration, out io.Writer) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for range time.Tick(interval) {
		at := time.Now()
		if err := once(client, url); err != nil {
			fmt.Fprintf(out, "%s failed: %v\n", at.UTC().Format(time.RFC3339Nano), err)
			continue
		}
		fmt.Fprintf(out, "%s ok\n", at.UTC().Format(time.RFC3339Nano))
	}
}

func once(client *http.Client, url string) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	return nil
}
