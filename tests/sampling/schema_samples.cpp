#include "tests/sampling/schema_samples.h"

namespace baltoro {

const std::vector<SchemaSample> kSchemaSamples = {
    {R"({})",
     {R"({})", R"({"a":1})", R"({"a": 1, "b": [true, null, {"c": "\u00e9é\n"}]})",
      R"({"":{"":{"":[[[]]]}}})", R"({"日本":"😀\uD83D\uDE00"})"},
     {R"([])", R"("a")", R"(1)", R"({"a"})", R"({"a":})", R"({a:1})", R"({"a":1,})", R"({"a":  1})",
      R"({"a":1 ,"b":2})", R"({'a':1})", R"({"a":tru})", R"({"a":[1,]})"}},
    {R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"},)"
     R"("tags":{"type":"array","items":{"type":"string"}}},"required":["name"]})",
     {R"({"name":"a"})", R"({"name": "a", "age": 3})", R"({"name":"a","tags":[]})",
      R"({"name":"é\"","age":-1,"tags":["x", "y","z"]})"},
     {R"({})", R"({"age":1})", R"({"age":1,"name":"a"})", R"({"name":1})", R"({"name":"a","b":1})",
      R"({"name":"a","name":"b"})", R"({"name":"a","age":1.5})", R"({"name":"a","tags":[1]})",
      R"({"name":"a",})", R"({,"name":"a"})", R"({"name":"a" })"}},
    {R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"boolean"},)"
     R"("c":{"type":"null"}},"additionalProperties":false})",
     {R"({})", R"({"a":null})", R"({"b":true})", R"({"c":null})", R"({"a":null,"c":null})",
      R"({"a": null, "b": false, "c": null})"},
     {R"({"d":1})", R"({"b":null})", R"({"c":null,"a":null})", R"({"a":null "b":true})"}},
    {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},)"
     R"("required":["b"]})",
     {R"({"b":1})", R"({"a":1,"b":2})"},
     {R"({})", R"({"a":1})", R"({"b":1,"a":2})"}},
    {R"({"type":"object","additionalProperties":{"type":"number"}})",
     {R"({})", R"({"x":1.5,"y":-2e3})", R"({"x": 1, "\n": 2})"},
     {R"({"x":"1"})", R"({"x":1 "y":2})"}},
    {R"({"type":"object","properties":{"id":{"type":"integer"}},"required":["id"],)"
     R"("additionalProperties":true})",
     {R"({"id":1})", R"({"id":1,"x":[{}],"idx":"a","i":2})"},
     {R"({"x":1})", R"({"x":1,"id":1})", R"({"id":1,"id":2})"}},
    {R"({"type":"object","required":["k","l"]})",
     {R"({"k":1,"l":"x"})", R"({"k":{},"l":null,"m":1})"},
     {R"({})", R"({"k":1})", R"({"k":1,"m":2})"}},
    {R"({"type":"object","properties":{"a\"b\\\n":{"type":"integer"},"ключ":{"type":"integer"}},)"
     R"("required":["a\"b\\\n","ключ"]})",
     {R"({"a\"b\\\n":1,"ключ":2})", R"({"a\"b\\\n": 1, "ключ": 2})"},
     {R"({"a":1,"ключ":2})", R"({"a\"b\\\n":1,"клю":2})"}},
    {R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
     {R"([1])", R"([1,2])", R"([1, 2, 3])"},
     {R"([])", R"([1,2,3,4])", R"([1,])", R"([,1])", R"(["1"])", R"([ 1])", R"([1 ])"}},
    {R"({"type":"array","minItems":2,"items":{"type":"boolean"}})",
     {R"([true,false])", R"([true, true, true, true])"},
     {R"([])", R"([true])", R"([true,null])"}},
    {R"({"type":"array"})",
     {R"([])", R"([1])", R"([1, "a", {"b": []}])"},
     {R"({})", R"([1,])", R"([)"}},
    {R"({"type":"array","prefixItems":[{"type":"string"},{"type":"number"}],"items":false,)"
     R"("minItems":2})",
     {R"(["a",1])", R"(["a", 1.5])"},
     {R"(["a"])", R"([1,"a"])", R"(["a",1,2])"}},
    {R"({"type":"array","prefixItems":[{"type":"string"}],"items":{"type":"null"},"maxItems":3})",
     {R"([])", R"(["a"])", R"(["a",null])", R"(["a",null,null])"},
     {R"(["a",null,null,null])", R"([null])", R"(["a","b"])"}},
    {R"({"enum":["red","green","grey",1,10,null,true,1.5]})",
     {R"("red")", R"("green")", R"("grey")", R"(1)", R"(10)", R"(null)", R"(true)", R"(1.5)"},
     {R"("gre")", R"("blue")", R"(100)", R"(false)", R"(1.)"}},
    {R"({"type":"string","enum":["a","b",3]})", {R"("a")", R"("b")"}, {R"(3)", R"("c")"}},
    {R"({"enum":["a","é\"","abc",7],"minLength":2,"maxLength":2,"type":["string","integer"]})",
     {R"("é\"")", R"(7)"},
     {R"("a")", R"("abc")"}},
    {R"({"enum":[null,"a"],"type":"string","nullable":true})", {R"(null)", R"("a")"}, {R"("b")"}},
    {R"({"const":{"a":[1,"x, y: z\""],"b":{}}})",
     {R"({"a":[1,"x, y: z\""],"b":{}})", R"({"a": [1, "x, y: z\""], "b": {}})"},
     {R"({"a":[1,"x,y:z\""],"b":{}})", R"({"b":{},"a":[1,"x, y: z\""]})"}},
    {R"({"properties":{"kind":{"const":"circle"},"r":{"type":"number"}},"required":["kind","r"]})",
     {R"({"kind":"circle","r":2})"},
     {R"({"kind":"square","r":2})", R"("circle")"}},
    {R"({"anyOf":[{"type":"object","properties":{"type":{"const":"a"},"x":{"type":"integer"}},)"
     R"("required":["type","x"]},{"type":"object","properties":{"type":{"const":"ab"},)"
     R"("y":{"type":"string"}},"required":["type","y"]},{"type":"null"}]})",
     {R"({"type":"a","x":1})", R"({"type":"ab","y":"q"})", R"(null)"},
     {R"({"type":"a","y":"q"})", R"({"type":"ab","x":1})", R"({"type":"b"})", R"(1)"}},
    {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},)"
     R"("oneOf":[{"required":["a"]},{"required":["b"]}]})",
     {R"({"a":1})", R"({"b":1})"},
     {R"({})", R"({"c":1})"}},
    {R"({"type":["string","null","integer"]})",
     {R"("x")", R"(null)", R"(12)"},
     {R"(1.5)", R"(true)", R"({})", R"([])"}},
    {R"({"type":"string","nullable":true})", {R"("x")", R"(null)"}, {R"(1)"}},
    {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},)"
     R"({"properties":{"b":{"type":"string"}},"required":["b"]}]})",
     {R"({"a":1,"b":"x"})"},
     {R"({"a":1})", R"({"b":"x"})", R"({"a":"1","b":"x"})"}},
    {R"({"allOf":[{"properties":{"a":{"type":["integer","null"]}}},)"
     R"({"properties":{"a":{"type":["null","string"]}},"required":["a"]}]})",
     {R"({"a":null})"},
     {R"({"a":1})", R"({"a":"x"})", R"({})"}},
    {R"({"type":"object","properties":{"value":{"type":"integer"},)"
     R"("next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["value","next"]})",
     {R"({"value":1,"next":null})",
      R"({"value":1,"next":{"value":2,"next":{"value":3,"next":null}}})"},
     {R"({"value":1})", R"({"value":1,"next":{"value":2}})", R"({"value":1,"next":null}})"}},
    {R"({"$defs":{"tree":{"type":"object","properties":{"children":{"type":"array",)"
     R"("items":{"$ref":"#/$defs/tree"}}},"required":["children"]}},)"
     R"("$ref":"#/$defs/tree","description":"a tree"})",
     {R"({"children":[]})", R"({"children":[{"children":[{"children": []}]}, {"children":[]}]})"},
     {R"({})", R"({"children":[[]]})", R"({"children":[{"children":[}]})"}},
    {R"({"definitions":{"a/b~c":{"type":"integer"}},"type":"array",)"
     R"("items":{"$ref":"#/definitions/a~1b~0c","title":"n"}})",
     {R"([])", R"([1, 2])"},
     {R"(["a"])"}},
    {R"({"$defs":{"expression":{"anyOf":[{"type":"number"},{"type":"object","properties":{)"
     R"("op":{"enum":["+","-"]},"left":{"$ref":"#/$defs/expression"},)"
     R"("right":{"$ref":"#/$defs/expression"}},"required":["op","left","right"]}]}},)"
     R"("$ref":"#/$defs/expression"})",
     {R"(1)", R"({"op":"+","left":1,"right":{"op":"-","left":2.5,"right":3}})"},
     {R"({"op":"*","left":1,"right":2})", R"({"op":"+","left":1})"}},
    {R"({"type":"string","minLength":2,"maxLength":4})",
     {R"("ab")", R"("日本語")", R"("\u00e9\n")", R"("😀😀😀😀")", R"("\uD83D\uDE00a")"},
     {R"("")", R"("a")", R"("é")", R"("\n")", R"("abcde")", R"("\uD83D\uDE00")"}},
    {R"({"type":"string","minLength":2})", {R"("ab")", R"("abcdefgh")"}, {R"("a")"}},
    {R"({"type":"string","maxLength":0})", {R"("")"}, {R"("a")"}},
    {R"({"type":"object","properties":{"none":false,"any":true}})",
     {R"({})", R"({"any":[1,{"x":2}]})"},
     {R"({"none":1})"}},
};

}  // namespace baltoro
