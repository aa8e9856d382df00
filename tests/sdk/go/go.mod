module feishu.example/sdk-battery

go 1.24

require github.com/larksuite/oapi-sdk-go/v3 v3.12.0
