/* What both programs compile: `i64 @fib(i64)`, as IR. */
#pragma once
#include <string_view>

inline constexpr std::string_view program = R"(
define i64 @fib(i64 %n) {
start:
  br label %test
test:
  %left = phi i64 [ %n, %start ], [ %less, %body ]
  %a = phi i64 [ 0, %start ], [ %b, %body ]
  %b = phi i64 [ 1, %start ], [ %sum, %body ]
  %more = icmp sgt i64 %left, 0
  br i1 %more, label %body, label %end
body:
  %sum = add i64 %a, %b
  %less = sub i64 %left, 1
  br label %test
end:
  ret i64 %a
}
)";
