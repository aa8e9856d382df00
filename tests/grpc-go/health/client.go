package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// client asks one server.
type client struct {
	grpc_health_v1.HealthClient
}

func dial(address string) (client, error) {
	connection, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return client{}, err
	}
	return client{grpc_health_v1.NewHealthClient(connection)}, nil
}

func asked(name string) *grpc_health_v1.HealthCheckRequest {
	return &grpc_health_v1.HealthCheckRequest{Service: name}
}

func (c client) check(ctx context.Context, name string) answer {
	answer := answer{rpc: "Check", name: name}
	response, err := c.Check(ctx, asked(name))
	answer.add(response.GetStatus(), err)
	return answer
}

func (c client) firstOfWatch(ctx context.Context, name string) answer {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer := answer{rpc: "Watch", name: name}
	watch, err := c.Watch(ctx, asked(name))
	if err != nil {
		answer.add(0, err)
		return answer
	}
	response, err := watch.Recv()
	answer.add(response.GetStatus(), err)
	return answer
}

func (c client) list(ctx context.Context) answer {
	answer := answer{rpc: "List"}
	response, err := c.List(ctx, &grpc_health_v1.HealthListRequest{})
	if err != nil {
		answer.add(0, err)
		return answer
	}
	var statuses []string
	for name, one := range response.GetStatuses() {
		statuses = append(statuses, fmt.Sprintf("%q is %v", name, one.GetStatus()))
	}
	// A map comes in no order.
	slices.Sort(statuses)
	answer.words = append(answer.words, strings.Join(statuses, ", "))
	return answer
}

// add notes a status, or an error in its place.
func (a *answer) add(told grpc_health_v1.HealthCheckResponse_ServingStatus, err error) {
	if err == nil {
		a.words = append(a.words, told.String())
		return
	}
	a.words = append(a.words, status.Code(err).String())
	a.text = status.Convert(err).Message()
}
