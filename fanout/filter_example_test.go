package fanout_test

import (
	"fmt"

	"github.com/holdfast-go/holdfast/fanout"
)

// The examples print the filter policy as SNS gets it.

func ExampleIs() {
	fmt.Println(fanout.Where("kind", fanout.Is("goods", "gifts")).JSON())
	// Output: {"kind":["goods","gifts"]}
}

func ExampleIsNumber() {
	fmt.Println(fanout.Where("cents", fanout.IsNumber(0, 99.5)).JSON())
	// Output: {"cents":[0,99.5]}
}

func ExampleIsBool() {
	s := fanout.Subscription{Topic: "orders", Queue: "billing", OnBody: true, Filter: fanout.Where("paid", fanout.IsBool(true))}
	fmt.Println(s.Filter.JSON())
	// Output: {"paid":[true]}
}

func ExampleIsNull() {
	s := fanout.Subscription{Topic: "orders", Queue: "billing", OnBody: true, Filter: fanout.Where("coupon", fanout.IsNull())}
	fmt.Println(s.Filter.JSON())
	// Output: {"coupon":[null]}
}

func ExamplePrefix() {
	fmt.Println(fanout.Where("sku", fanout.Prefix("book-")).JSON())
	// Output: {"sku":[{"prefix":"book-"}]}
}

func ExampleSuffix() {
	fmt.Println(fanout.Where("file", fanout.Suffix(".png"), fanout.Suffix(".jpg")).JSON()) // one of a key's rules must fit
	// Output: {"file":[{"suffix":".png"},{"suffix":".jpg"}]}
}

func ExampleEqualFold() {
	fmt.Println(fanout.Where("country", fanout.EqualFold("de")).JSON())
	// Output: {"country":[{"equals-ignore-case":"de"}]}
}

func ExampleWildcard() {
	fmt.Println(fanout.Where("path", fanout.Wildcard("/orders/*/refund")).JSON())
	// Output: {"path":[{"wildcard":"/orders/*/refund"}]}
}

func ExampleCIDR() {
	fmt.Println(fanout.Where("client", fanout.CIDR("10.0.0.0/24")).JSON())
	// Output: {"client":[{"cidr":"10.0.0.0/24"}]}
}

func ExampleExists() {
	fmt.Println(fanout.Where("coupon", fanout.Exists()).JSON())
	// Output: {"coupon":[{"exists":true}]}
}

func ExampleMissing() {
	fmt.Println(fanout.Where("kind", fanout.Exists()).And("coupon", fanout.Missing()).JSON())
	// Output: {"kind":[{"exists":true}],"coupon":[{"exists":false}]}
}

func ExampleNot() {
	fmt.Println(fanout.Where("country", fanout.Not("us", "ca")).JSON())
	// Output: {"country":[{"anything-but":["us","ca"]}]}
}

func ExampleNotNumber() {
	fmt.Println(fanout.Where("cents", fanout.NotNumber(0)).JSON())
	// Output: {"cents":[{"anything-but":[0]}]}
}

func ExampleNotPrefix() {
	fmt.Println(fanout.Where("sku", fanout.NotPrefix("test-")).JSON())
	// Output: {"sku":[{"anything-but":{"prefix":"test-"}}]}
}

func ExampleNotSuffix() {
	fmt.Println(fanout.Where("file", fanout.NotSuffix(".tmp")).JSON())
	// Output: {"file":[{"anything-but":{"suffix":".tmp"}}]}
}

func ExampleAbove() {
	fmt.Println(fanout.Where("cents", fanout.Above(0)).JSON())
	// Output: {"cents":[{"numeric":[">",0]}]}
}

func ExampleAtLeast() {
	fmt.Println(fanout.Where("quantity", fanout.AtLeast(2)).JSON())
	// Output: {"quantity":[{"numeric":[">=",2]}]}
}

func ExampleBelow() {
	fmt.Println(fanout.Where("cents", fanout.Below(1000)).JSON())
	// Output: {"cents":[{"numeric":["<",1000]}]}
}

func ExampleAtMost() {
	fmt.Println(fanout.Where("quantity", fanout.AtMost(1)).JSON())
	// Output: {"quantity":[{"numeric":["<=",1]}]}
}

func ExampleBetween() {
	fmt.Println(fanout.Where("cents", fanout.Between(1000, 5000)).JSON())
	// Output: {"cents":[{"numeric":[">=",1000,"<=",5000]}]}
}

func ExampleFilter_And() {
	goods := fanout.Where("kind", fanout.Is("goods"))
	dear := goods.And("cents", fanout.AtLeast(1000))
	fmt.Println(goods.JSON()) // a filter is a value: adding to it makes another
	fmt.Println(dear.JSON())
	// Output:
	// {"kind":["goods"]}
	// {"kind":["goods"],"cents":[{"numeric":[">=",1000]}]}
}

func ExampleFilter_JSON() {
	fmt.Printf("%q\n", fanout.Filter{}.JSON()) // everything is let through
	fmt.Println(fanout.Where("kind", fanout.Is("goods")).JSON())
	// Output:
	// ""
	// {"kind":["goods"]}
}
