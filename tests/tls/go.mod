module feishu.example/certificates

go 1.24
