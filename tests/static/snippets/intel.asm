KERNEL gemm_nt 16
L0:
(W)     mov (8|M0)               r127.0<1>:ud  r0.0<1;1,0>:ud                   {Compacted}
(W)     mov (1|M0)               r5.0<1>:d     0:w
L32:
        load.ugm.d32x4.a64 (16|M0)  r12:8       [r10:4]            {$1} // ex_desc:0x0; desc:0x8403580
(W)     load.ugm.d32x64t.a64 (1|M0)  r20:8       [r11:1]            {$2} // ex_desc:0x0; desc:0x2800780
        store.slm.d32.a32 (16|M0)  [r9:2]      r12:2            {$1} // ex_desc:0x0; desc:0x4000504
        send.gtwy (1|M0)         null     r127    null:0  0x0            0x02000004           {$3} // wr:1+0, rd:0; signal barrier
        sync.bar                             null
(W)     mov (1|M0)               r6.0<1>:d     0:w
L64:
        load.slm.d32x2.a32 (16|M0)  r30:4       [r8:2]            {$4} // ex_desc:0x0; desc:0x4401500
        dpas.8x8 (16|M0)         r40:f         r40:f             r20:bf            r30.0:bf         {$5}
(W)     or (1|M0)                r6.5<1>:d     r6.0<0;1,0>:d     1:w
(W)     cmp (16|M0)   (lt)f0.0   null<1>:d     r6.5<0;1,0>:ud    0x7:uw            {I@1}
(W&~f0.0) jmpi                               L80
(W)     add (1|M0)               r6.0<1>:d     r6.0<0;1,0>:d     2:w               {I@1}
(W)     jmpi                                 L64
L80:
        mad (16|M0)              r50.0<1>:f    r50.0<1;0>:f      r51.0<1;0>:f      r52.0<1>:f
        math.exp (16|M0)         r54.0<1>:f    r55.0<1;1,0>:f
        mad (16|M0)              r56.0<1>:d    r56.0<1;0>:d      r57.0<1;0>:w      r58.0<1>:w
(W)     cmp (16|M0)   (lt)f1.0   null<1>:d     r5.0<0;1,0>:d     r7.0<0;1,0>:d
(W&f1.0) jmpi                                L32
L96:
(W)     send.gtwy (8|M0)         null     r127    null:0  0x0            0x02000010           {EOT} // wr:1+0, rd:0; end of thread
