// Program rolling calls several servers in turn with Google's own client, round robin, and keeps calls in
// flight until it is told to stop, so that `scripts/e2e` and `scripts/bench` can restart the servers
// meanwhile. It prints what became of the calls as one line of JSON. Exit code 1: a call has failed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	// Without it the client does not know what healthCheckConfig means.
	_ "google.golang.org/grpc/health"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// A caller's usual one: what a call may take, with all its attempts.
const deadline = 10 * time.Second

type options struct {
	servers       []string
	serviceConfig string
	inFlight      int
	people        uint64
	newEvery      uint64
	seconds       float64
}

func main() {
	report, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if len(report.Errors) > 0 {
		os.Exit(1)
	}
}

func run() (*report, error) {
	options, err := arguments()
	if err != nil {
		return nil, err
	}
	attempts := new(attempts)
	client, err := dial(options, attempts)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	if options.seconds > 0 {
		stop, cancel = context.WithTimeout(stop, time.Duration(options.seconds*float64(time.Second)))
		defer cancel()
	}
	report := load(stop, client, options)
	report.Attempts, report.TransparentRetries = attempts.begun.Load(), attempts.transparent.Load()
	return report, json.NewEncoder(os.Stdout).Encode(report)
}

func arguments() (options, error) {
	var o options
	servers := flag.String("servers", "", "addresses, with commas between them")
	config := flag.String("service-config", "", "file with the client's service config")
	flag.IntVar(&o.inFlight, "in-flight", 64, "calls at a time")
	flag.Uint64Var(&o.people, "people", 200, "how many people are asked for in turn")
	flag.Uint64Var(&o.newEvery, "new-every", 20, "each call of so many asks for somebody new, whom Feishu must be asked for; 0: none")
	flag.Float64Var(&o.seconds, "seconds", 0, "how long; 0: until SIGTERM")
	flag.Parse()
	if *servers == "" || *config == "" || flag.NArg() > 0 || o.inFlight < 1 || o.people < 1 {
		return o, errors.New("usage: rolling --servers ADDRESS,... --service-config FILE [--in-flight N] [--people N] [--new-every N] [--seconds N]")
	}
	o.servers = strings.Split(*servers, ",")
	text, err := os.ReadFile(*config)
	o.serviceConfig = string(text)
	return o, err
}

// dial makes a client that knows all servers by one name, as from a DNS name with several addresses.
func dial(o options, attempts *attempts) (*grpc.ClientConn, error) {
	names := manual.NewBuilderWithScheme("servers")
	var addresses []resolver.Address
	for _, server := range o.servers {
		addresses = append(addresses, resolver.Address{Addr: server})
	}
	names.InitialState(resolver.State{Addresses: addresses})
	return grpc.NewClient("servers:///feishu-id",
		grpc.WithResolvers(names),
		grpc.WithDefaultServiceConfig(o.serviceConfig),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{})),
		grpc.WithStatsHandler(attempts))
}

// load keeps calls in flight until it is told to stop, and waits for those under way.
func load(stop context.Context, client *grpc.ClientConn, o options) *report {
	report := newReport()
	began := time.Now()
	var next atomic.Uint64
	var callers sync.WaitGroup
	for range o.inFlight {
		callers.Go(func() {
			for stop.Err() == nil {
				began := time.Now()
				server, err := call(client, email(o, next.Add(1)))
				if report.add(server, err, time.Since(began)) == len(o.servers) {
					// Whoever waits for it begins now.
					fmt.Println("every server answers")
				}
			}
		})
	}
	callers.Wait()
	report.Seconds = time.Since(began).Seconds()
	return report
}

// email is whom the call of this number asks for: one of the people of the simulated Feishu.
func email(o options, number uint64) string {
	person := number % o.people
	if o.newEvery > 0 && number%o.newEvery == 0 {
		person = o.people + number/o.newEvery
	}
	return fmt.Sprintf("load-%d@acme.example", person)
}

// call asks for one person and says who has answered. An answer about somebody else, or none about this
// person, is an error like others.
func call(client *grpc.ClientConn, email string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	var answer resolution
	var from peer.Peer
	err := client.Invoke(ctx, "/feishu.identity.v1.IdentityService/ResolveUserIds", &request{email}, &answer, grpc.Peer(&from))
	if err != nil {
		return "", err
	}
	if answer != (resolution{email: email, outcome: resolved}) {
		return "", fmt.Errorf("the answer to %s is of %q, outcome %d", email, answer.email, answer.outcome)
	}
	return from.Addr.String(), nil
}
