// JSON as it is written and read, and SHA-256 by its published examples.
#include "rulegrad/support/json.hpp"

#include <doctest/doctest.h>
#include <limits>

#include "rulegrad/support/error.hpp"

#include "support/sha256.hpp"

using namespace rulegrad;

TEST_CASE("JSON is written with what needs escaping escaped") {
  Json json;
  json.open('{')
      .key("a\n")
      .text("\"\\\x01 \xc3\xa9 \xff \xed\xa0\x80")
      .key("b")
      .open('[')
      .number(0.1)
      .number(std::int64_t{-3});
  json.number(std::numeric_limits<double>::infinity()).truth(true).null().raw("{}").close(']').close('}');
  CHECK(json.whole() ==
        "{\"a\\u000a\": \"\\\"\\\\\\u0001 \xc3\xa9 \\ufffd \\ufffd\\ufffd\\ufffd\", \"b\": [0.1, -3, null, "
        "true, null, {}]}");
}

TEST_CASE("JSON is taken apart where its values end") {
  const std::string text = R"( {"a": [1, {"b": "]}"}, "x"] , "c\u00e9\ud83d\ude00": "q\"\/" } )";
  const auto members = json_members(text, "here");
  REQUIRE(members.size() == 2);
  CHECK(members[0].first == "a");
  CHECK(members[0].second == R"([1, {"b": "]}"}, "x"])");
  CHECK(members[1].first == "c\xc3\xa9\xf0\x9f\x98\x80");
  CHECK(json_string(members[1].second, "here") == "q\"/");
  const auto items = json_items(members[0].second, "here");
  REQUIRE(items.size() == 3);
  CHECK(items[1] == R"({"b": "]}"})");
  CHECK(json_members("{}", "here").empty());
  CHECK(json_items("[ ]", "here").empty());
}

TEST_CASE("equal values have one spelling") {
  CHECK(json_normal(R"( {"b" : 1.0, "a": [1e0, 0.5E1, "\u0041"]} )", "here") == R"({"a":[1,5,"A"],"b":1})");
  CHECK(json_normal(R"({"a":[1,5,"A"],"b":1})", "here") == R"({"a":[1,5,"A"],"b":1})");
  CHECK(json_normal("[true, null , false]", "here") == "[true,null,false]");
}

TEST_CASE("what is no JSON is told by place") {
  const std::string deep(100, '[');
  for (const std::string& text :
       {std::string(""), std::string("{"), std::string("[1,]"), std::string("{\"a\" 1}"), std::string("nan"),
        std::string("+1"), std::string("inf"), std::string("\"a"), std::string("\"\\x\""),
        std::string("\"\\u12g4\""), std::string("[1] 2"), std::string("\"a\nb\""), deep}) {
    CAPTURE(text);
    CHECK_THROWS_WITH_AS((void)json_normal(text, "file.json"), doctest::Contains("'file.json' is no JSON"),
                         Error);
  }
}

TEST_CASE("SHA-256 gives the digests of FIPS 180-4's examples") {
  const auto digest = [](std::string_view text, std::size_t piece) {
    Sha256 hash, portable(false);
    for (std::size_t at = 0; at < text.size(); at += piece) {
      hash.add(text.substr(at, piece));
      portable.add(text.substr(at, piece));
    }
    std::string digits = hash.digits();
    CHECK(portable.digits() == digits);
    return digits;
  };
  CHECK(digest("", 1) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const std::string two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                    million(1000000, 'a');
  for (const std::size_t piece : {std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{1000}}) {
    CHECK(digest("abc", piece) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(digest(two_blocks, piece) == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(digest(million, piece) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  }
}
