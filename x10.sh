for d in q4_0 q4_k q6_k q5_k q8_0 f16; do echo $d; D=$d npx node x9.ts | grep -E '^(131072)'; done
