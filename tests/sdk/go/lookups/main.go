// Program lookups makes many lookups of one person each with the official Go SDK, by several workers
// at a time: one of three programs, in three languages, that `scripts/bench sdks` compares.
//
// The arguments, the environment and the output are those of ../../python/lookups.py. This one alone
// can also try again, as people write it: --retry SECONDS.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	lark "github.com/larksuite/oapi-sdk-go/v3"
	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"
	larkcontact "github.com/larksuite/oapi-sdk-go/v3/service/contact/v3"
)

// For one HTTP request: loopback answers in milliseconds, and a hang should end the run.
const timeout = 10 * time.Second

// Between one attempt and the next: doubling, and each time somewhere between half of it and all.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second
)

// tally is what became of the lookups.
type tally struct {
	Answered int            `json:"answered"`
	Failed   int            `json:"failed"`
	Calls    int            `json:"calls"`
	Codes    map[string]int `json:"codes"`
	Seconds  float64        `json:"seconds"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func run() error {
	workers := flag.Int("workers", 32, "lookups at a time")
	retry := flag.Float64("retry", 0, "try again what failed, until so many seconds have passed")
	flag.Parse()
	if flag.NArg() != 1 || *workers < 1 {
		return errors.New("usage: lookups [--workers N] [--retry SECONDS] FILE")
	}
	people, err := lines(flag.Arg(0))
	if err != nil {
		return err
	}
	client := lark.NewClient(
		os.Getenv("FEISHU_APP_ID"), os.Getenv("FEISHU_APP_SECRET"),
		lark.WithOpenBaseUrl(os.Getenv("FEISHU_BASE_URL")),
		lark.WithReqTimeout(timeout),
		lark.WithLogger(silent{}),
	)
	return json.NewEncoder(os.Stdout).Encode(all(client, people, *workers, *retry))
}

func lines(name string) ([]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var all []string
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		all = append(all, scanner.Text())
	}
	return all, scanner.Err()
}

func all(client *lark.Client, people []string, workers int, retry float64) tally {
	began := time.Now()
	end := began.Add(time.Duration(retry * float64(time.Second)))
	sum := tally{Codes: map[string]int{}}
	var mutex sync.Mutex
	count := func(code string, last bool) {
		mutex.Lock()
		defer mutex.Unlock()
		sum.Calls++
		switch {
		case code == "":
			sum.Answered++
		case last:
			sum.Failed++
			sum.Codes[code]++
		}
	}
	next := make(chan string)
	var waiting sync.WaitGroup
	for range workers {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			for person := range next {
				lookup(client, person, end, count)
			}
		}()
	}
	for _, person := range people {
		next <- person
	}
	close(next)
	waiting.Wait()
	sum.Seconds = time.Since(began).Seconds()
	return sum
}

// lookup is one lookup, with as many attempts as there is time for.
func lookup(client *lark.Client, person string, end time.Time, count func(string, bool)) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		code := ask(client, person)
		last := time.Now().Add(pause).After(end)
		count(code, last)
		if code == "" || last {
			return
		}
		time.Sleep(pause/2 + rand.N(pause/2))
	}
}

// ask says with which code the call failed; nothing if it did not.
func ask(client *lark.Client, person string) string {
	body := larkcontact.NewBatchGetIdUserReqBodyBuilder()
	if strings.Contains(person, "@") {
		body = body.Emails([]string{person})
	} else {
		body = body.Mobiles([]string{person})
	}
	request := larkcontact.NewBatchGetIdUserReqBuilder().UserIdType("user_id").Body(body.Build()).Build()
	response, err := client.Contact.V3.User.BatchGetId(context.Background(), request)
	var refused larkcore.CodeError
	switch {
	case errors.As(err, &refused):
		return strconv.Itoa(refused.Code)
	case err != nil:
		return "other"
	case !response.Success():
		return strconv.Itoa(response.Code)
	case len(response.Data.UserList) != 1 || response.Data.UserList[0].UserId == nil:
		return "nobody"
	}
	return ""
}

// silent keeps the SDK's own log off standard output, where the answer goes.
type silent struct{}

func (silent) Debug(context.Context, ...interface{}) {}
func (silent) Info(context.Context, ...interface{})  {}
func (silent) Warn(context.Context, ...interface{})  {}
func (silent) Error(context.Context, ...interface{}) {}
