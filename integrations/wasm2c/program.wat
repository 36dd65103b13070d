(module
  (import "host" "log" (func $log (param i64)))
  (memory (export "memory") 1)
  (func (export "fib") (param $n i64) (result i64)
    (local $a i64) (local $b i64) (local $sum i64)
    (local.set $b (i64.const 1))
    (block $end
      (loop $next
        (br_if $end (i64.le_s (local.get $n) (i64.const 0)))
        (local.set $sum (i64.add (local.get $a) (local.get $b)))
        (local.set $a (local.get $b))
        (local.set $b (local.get $sum))
        (local.set $n (i64.sub (local.get $n) (i64.const 1)))
        (br $next)))
    (i64.store (i32.const 8) (local.get $a))
    (call $log (local.get $a))
    (local.get $a)))
