package ingress

import "testing"

func FuzzHAProxyDynamic(f *testing.F) {
	f.Add(haproxyHash("Ingress", web3[0]))
	f.Add(haproxyHash("Ingress", web3[0]) + "|awQEk|awQEk")
	f.Add(haproxyHash("Ingress", "10.42.0.5:80") + "~x")
	fuzzDecoder(f, newHAProxyDynamic("Ingress"))
}

func FuzzHAProxyStatic(f *testing.F) {
	f.Add(web3[0] + "|awQEk")
	f.Add("fd00:10:42::5:8080")
	f.Add("SRV_1~x")
	f.Add("srv001|awQEn|awQEn")
	fuzzDecoder(f, newHAProxyStatic())
}

func FuzzNginxSticky(f *testing.F) {
	f.Add(md5hex(web3[0]))
	fuzzDecoder(f, newNginxSticky())
}

func FuzzOpenShift(f *testing.F) {
	f.Add(md5hex("ept:x\x1by:" + web3[0]))
	fuzzDecoder(f, newOpenShift("x\x1by"))
}

func FuzzEnvoyStateful(f *testing.F) {
	f.Add(envoyCookie(web3[0], 0))
	f.Add(envoyCookie("[fd00:10:42::5]:8080", 1767225600))
	f.Add(envoyCookie("192.0.2.1:1", 12))
	f.Add("MTAuMjQ0LjAuNTo4MDgw")
	fuzzDecoder(f, newEnvoyStateful())
}

func FuzzAPISIX(f *testing.F) {
	f.Add("8c9ad4f1-6c0e-4b0e-9d53-0d9f4b8f4b57")
	fuzzDecoder(f, apisixHash{})
}

func FuzzSkipper(f *testing.F) {
	f.Add("http://" + web3[0] + "-0")
	fuzzDecoder(f, skipperHash{scheme: "http"})
}
