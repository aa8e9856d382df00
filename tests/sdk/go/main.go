// Program sdk-battery asks Feishu for IDs with the official Go SDK (oapi-sdk-go): one of three
// programs, in three languages, that scripts/sdk-battery holds against the simulated Feishu.
//
// The commands, the environment, the output and the exit codes are those of ../python/battery.py.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	lark "github.com/larksuite/oapi-sdk-go/v3"
	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"
	larkcontact "github.com/larksuite/oapi-sdk-go/v3/service/contact/v3"
)

// For one HTTP request: loopback answers in milliseconds, and a hang should end the run.
const timeout = 10 * time.Second

// object is a JSON object; encoding/json prints its keys sorted.
type object = map[string]any

func main() {
	answer, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if answer["ok"] != true {
		os.Exit(1)
	}
}

func run(args []string) (object, error) {
	if len(args) == 0 || (args[0] != "resolve" && args[0] != "revoked") {
		return nil, errors.New("usage: sdk-battery resolve|revoked [--type T] [--include-resigned] [--control URL] IDENTIFIER...")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	kind := flags.String("type", "user_id", "user_id, open_id or union_id")
	resigned := flags.Bool("include-resigned", false, "also ask for people who have left")
	control := flags.String("control", "", "the sandbox's control address, an http URL")
	if err := flags.Parse(args[1:]); err != nil {
		return nil, err
	}
	client := lark.NewClient(
		os.Getenv("FEISHU_APP_ID"), os.Getenv("FEISHU_APP_SECRET"),
		lark.WithOpenBaseUrl(os.Getenv("FEISHU_BASE_URL")),
		lark.WithReqTimeout(timeout),
		lark.WithLogger(silent{}),
	)
	request := question(*kind, *resigned, flags.Args())
	answer, err := ask(client, request)
	if err != nil || args[0] == "resolve" {
		return answer, err
	}
	if answer["ok"] != true {
		return nil, errors.New("the first call was refused, before anything was revoked")
	}
	if err := revoke(*control); err != nil {
		return nil, err
	}
	return ask(client, request)
}

func question(kind string, resigned bool, identifiers []string) *larkcontact.BatchGetIdUserReq {
	var emails, mobiles []string
	for _, identifier := range identifiers {
		if strings.Contains(identifier, "@") {
			emails = append(emails, identifier)
		} else {
			mobiles = append(mobiles, identifier)
		}
	}
	body := larkcontact.NewBatchGetIdUserReqBodyBuilder().IncludeResigned(resigned)
	if len(emails) > 0 {
		body = body.Emails(emails)
	}
	if len(mobiles) > 0 {
		body = body.Mobiles(mobiles)
	}
	return larkcontact.NewBatchGetIdUserReqBuilder().UserIdType(kind).Body(body.Build()).Build()
}

func ask(client *lark.Client, request *larkcontact.BatchGetIdUserReq) (object, error) {
	response, err := client.Contact.V3.User.BatchGetId(context.Background(), request)
	var refused larkcore.CodeError
	if errors.As(err, &refused) {
		return object{"ok": false, "code": refused.Code, "msg": refused.Msg}, nil
	}
	if err != nil {
		return nil, err
	}
	if !response.Success() {
		return refusal(response), nil
	}
	rows := []object{}
	for _, info := range response.Data.UserList {
		rows = append(rows, row(info))
	}
	return object{"ok": true, "rows": rows}, nil
}

func row(info *larkcontact.UserContactInfo) object {
	fields := object{}
	for name, value := range map[string]*string{"email": info.Email, "mobile": info.Mobile, "user_id": info.UserId} {
		if value != nil && *value != "" {
			fields[name] = *value
		}
	}
	if info.Status == nil {
		return fields
	}
	status := object{}
	for name, value := range map[string]*bool{
		"is_frozen": info.Status.IsFrozen, "is_resigned": info.Status.IsResigned,
		"is_activated": info.Status.IsActivated, "is_exited": info.Status.IsExited,
		"is_unjoin": info.Status.IsUnjoin,
	} {
		if value != nil {
			status[name] = *value
		}
	}
	fields["status"] = status
	return fields
}

func refusal(response *larkcontact.BatchGetIdUserResp) object {
	answer := object{
		"ok": false, "code": response.Code, "msg": response.Msg,
		"http_status": response.StatusCode, "log_id": response.LogId(),
	}
	if response.Err == nil {
		return answer
	}
	var scopes, fields []string
	for _, violation := range response.Err.PermissionViolations {
		scopes = append(scopes, violation.Subject)
	}
	for _, violation := range response.Err.FieldViolations {
		fields = append(fields, violation.Field+": "+violation.Description)
	}
	if scopes != nil {
		answer["scopes"] = scopes
	}
	if fields != nil {
		answer["fields"] = fields
	}
	if len(response.Err.Helps) > 0 {
		answer["help_url"] = response.Err.Helps[0].URL
	}
	return answer
}

func revoke(control string) error {
	client := http.Client{Timeout: timeout}
	response, err := client.Post(control+"/tokens/revoke", "application/json", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("revoking the tokens was answered with HTTP %d", response.StatusCode)
	}
	return nil
}

// silent keeps the SDK's own log off standard output, where the answer goes.
type silent struct{}

func (silent) Debug(context.Context, ...interface{}) {}
func (silent) Info(context.Context, ...interface{})  {}
func (silent) Warn(context.Context, ...interface{})  {}
func (silent) Error(context.Context, ...interface{}) {}
