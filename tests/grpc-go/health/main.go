// Program health plays the health protocol with one client against grpc-go's own health server, told the
// same statuses, and against a running feishu-id, and prints what each of them says. Exit code 1: they
// differ. Messages of errors may differ; codes and statuses may not.
//
//	health --server ADDRESS --state starting|serving
//	health --server ADDRESS --state draining    prints "watching", and goes on once the server is told to stop
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"
)

// For one answer; and for a server that has been told to stop to begin with it, and to end.
const (
	answerTimeout = 5 * time.Second
	stopTimeout   = 30 * time.Second
)

// What is asked for: every name that the contract has, and one that it does not.
var names = []string{"", "feishu.identity.v1.IdentityService", "readiness", "liveness", "unknown"}

// told is what grpc-go's server is told of each name: liveness is SERVING until the end.
func told(state string) map[string]grpc_health_v1.HealthCheckResponse_ServingStatus {
	readiness := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if state == "serving" {
		readiness = grpc_health_v1.HealthCheckResponse_SERVING
	}
	return map[string]grpc_health_v1.HealthCheckResponse_ServingStatus{
		names[0]: readiness, names[1]: readiness, names[2]: readiness,
		"liveness": grpc_health_v1.HealthCheckResponse_SERVING,
	}
}

func main() {
	same, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if !same {
		os.Exit(1)
	}
}

func run() (bool, error) {
	server := flag.String("server", "", "address of the feishu-id")
	state := flag.String("state", "", "starting, serving or draining")
	flag.Parse()
	if *server == "" || flag.NArg() > 0 {
		return false, errors.New("usage: health --server ADDRESS --state starting|serving|draining")
	}
	ours, err := dial(*server)
	if err != nil {
		return false, err
	}
	reference, err := startReference()
	if err != nil {
		return false, err
	}
	defer reference.end()
	switch *state {
	case "starting", "serving":
		reference.tell(told(*state))
		return compared(*state, play(reference.client), play(ours)), nil
	case "draining":
		return draining(reference, ours)
	}
	return false, fmt.Errorf("there is no state %q", *state)
}

// draining is the whole of a stop: what watches that were open before are told, what is answered meanwhile
// on the connections that there are, and how the watches end.
func draining(reference *reference, ours client) (bool, error) {
	reference.tell(told("serving"))
	theirWatches, ourWatches := watchAll(reference.client), watchAll(ours)
	defer theirWatches.leave()
	defer ourWatches.leave()
	if err := errors.Join(theirWatches.await(len(names)), ourWatches.await(len(names))); err != nil {
		return false, err
	}
	fmt.Println("watching")
	// Three names change; the others must not.
	if err := ourWatches.await(len(names) + 3); err != nil {
		return false, fmt.Errorf("the server was not told to stop: %w", err)
	}
	reference.tell(told("draining"))
	if err := theirWatches.await(len(names) + 3); err != nil {
		return false, err
	}
	same := compared("draining", play(reference.client), play(ours))
	// feishu-id ends by itself; grpc-go's waits for the watches until it is told not to.
	whatWeSay := ourWatches.all()
	reference.end()
	return compared("watched", theirWatches.all(), whatWeSay) && same, nil
}

// compared prints what both say, and returns whether it is the same.
func compared(state string, theirs, ours []answer) bool {
	same := len(theirs) == len(ours)
	for index := range min(len(theirs), len(ours)) {
		their, our := theirs[index], ours[index]
		mark := ""
		if their.told() != our.told() {
			same, mark = false, "   DIFFERENT"
		}
		fmt.Printf("%-9s %-6s %-36q grpc-go %s, feishu-id %s%s\n", state, their.rpc, their.name, their.told(), our.told(), mark)
		if their.text != our.text {
			fmt.Printf("%53s texts: %q, %q\n", "", their.text, our.text)
		}
	}
	return same
}

// answer is what one call was told.
type answer struct {
	rpc, name string
	// Statuses in the order told, and a code where there was one.
	words []string
	// The message of an error.
	text string
}

func (a answer) told() string {
	return strings.Join(a.words, " then ")
}

// play makes every call of the protocol once.
func play(client client) []answer {
	ctx, cancel := context.WithTimeout(context.Background(), 3*answerTimeout)
	defer cancel()
	var answers []answer
	for _, name := range names {
		answers = append(answers, client.check(ctx, name))
	}
	for _, name := range names {
		answers = append(answers, client.firstOfWatch(ctx, name))
	}
	return append(answers, client.list(ctx))
}
