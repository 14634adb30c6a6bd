package findings

// Rules are the catalogue, by id. To add one, write a file with it, a line here
// and a folder testdata/rules/ID with bad.yaml and good.yaml. Those of runtime.go
// have no check: sessions show them.
var Rules = []Rule{
	a01, a02, a03, a04, a05, a06, a07, a08, a09, a10, a11, a12,
	b01, b02, b03, b04, b07, b08, b09, b10,
	c01, c02, c03, c05, c07, c08,
	d01, d02,
	e03, e04, e05,
	f01, f02, f03, f04, f05, f08, f09,
	g01,
	h01,
	i01, i02, i03, i04, i05, i06, i07, i08,
	j01, j02,
	l01,
}
